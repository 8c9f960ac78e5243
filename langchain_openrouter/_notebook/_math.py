r"""Math in Markdown: `$...$`, `\(...\)`, `$$...$$` and `\[...\]`, as Jupyter's MathJax typesets it.

Jupyter typesets whatever looks like math in the HTML that it shows: "$5 and not $6" becomes a
formula. What this package shows is closed to it (`langchain_openrouter._html.NO_MATH`), and opened
for math alone. TeX can do more than math: lead elsewhere, set attributes of HTML, define and load
commands. A formula with a command that is not listed here is shown as it was written.
"""

from __future__ import annotations

import re
from html import escape
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["enable_math"]

_LONGEST = 2_000  # characters of a formula: what is searched for the end of each
_OPEN = 'class="mathjax_process tex2jax_process"'
# Pandoc's rule for `$`: text beside it, none outside; so that prices and variables stay text.
_DOLLAR = re.compile(r"\$(?=[^\s$])((?:[^$\\]|\\.){1,2000}?)(?<=[^\s])\$(?![\w$])", re.DOTALL)
_DELIMITED = {"$$": ("$$", True), "\\[": ("\\]", True), "\\(": ("\\)", False)}

_COMMAND = re.compile(r"\\([A-Za-z]+|.)", re.DOTALL)
_BEGIN_OR_END = re.compile(r"\\(?:begin|end)(?![A-Za-z])")
_NAMED = re.compile(r"\\(?:begin|end)\s*\{([^}]*)\}")
_SYMBOLS = frozenset(",:;!>|/\\{}#$%&_ \n'\"`^~=.")
_ENVIRONMENT_NAMES = """
    align align* aligned alignat alignat* alignedat array Bmatrix bmatrix cases equation equation*
    gather gather* gathered matrix multline multline* pmatrix rcases smallmatrix split subarray
    Vmatrix vmatrix
"""
_COMMAND_NAMES = """
    alpha beta gamma delta epsilon varepsilon zeta eta theta vartheta iota kappa varkappa lambda mu
    nu xi omicron pi varpi rho varrho sigma varsigma tau upsilon phi varphi chi psi omega Gamma
    Delta Theta Lambda Xi Pi Sigma Upsilon Phi Psi Omega aleph beth gimel daleth hbar hslash ell wp
    Re Im imath jmath partial nabla infty emptyset varnothing angle measuredangle triangle square
    Box blacksquare lozenge diamondsuit heartsuit clubsuit spadesuit flat natural sharp forall
    exists nexists neg lnot top bot prime backprime degree dagger ddagger S P copyright pounds yen
    checkmark complement eth surd
    pm mp times div ast star circ bullet cdot cdotp centerdot cap cup uplus sqcap sqcup vee wedge
    lor land setminus smallsetminus wr diamond bigtriangleup bigtriangledown triangleleft
    triangleright oplus ominus otimes oslash odot bigcirc amalg rtimes ltimes bmod mod pmod pod
    sum prod coprod int iint iiint iiiint oint intop bigcap bigcup bigsqcup bigvee bigwedge
    bigodot bigotimes bigoplus biguplus limits nolimits displaylimits
    le leq ge geq lt gt ne neq equiv sim simeq approx approxeq cong doteq propto asymp prec succ
    preceq succeq ll gg lll ggg subset supset subseteq supseteq subsetneq supsetneq nsubseteq
    nsupseteq sqsubset sqsupset sqsubseteq sqsupseteq in ni notin owns mid nmid parallel nparallel
    perp vdash dashv models vDash Vdash smile frown bowtie leqslant geqslant lesssim gtrsim lessgtr
    gtrless nless ngtr nleq ngeq nsim ncong triangleq coloneqq therefore because not
    to gets mapsto leftarrow rightarrow leftrightarrow Leftarrow Rightarrow Leftrightarrow
    longleftarrow longrightarrow longleftrightarrow Longleftarrow Longrightarrow
    Longleftrightarrow longmapsto uparrow downarrow updownarrow Uparrow Downarrow Updownarrow
    nearrow searrow swarrow nwarrow hookleftarrow hookrightarrow rightharpoonup rightharpoondown
    leftharpoonup leftharpoondown rightleftharpoons leftrightharpoons rightleftarrows
    leftrightarrows twoheadrightarrow nrightarrow nleftarrow nRightarrow nLeftarrow implies
    impliedby iff xrightarrow xleftarrow xrightleftharpoons
    ldots cdots vdots ddots dots dotsb dotsc dotsi dotsm dotso
    frac dfrac tfrac cfrac sqrt root binom dbinom tbinom choose over atop genfrac stackrel
    overset underset sideset substack overline underline overbrace underbrace overrightarrow
    overleftarrow overleftrightarrow widehat widetilde hat check tilde acute grave dot ddot dddot
    breve bar vec mathring boxed cancel bcancel xcancel phantom hphantom vphantom smash
    left right middle big Big bigg Bigg bigl Bigl biggl Biggl bigr Bigr biggr Biggr bigm Bigm biggm
    Biggm langle rangle lceil rceil lfloor rfloor lvert rvert lVert rVert lbrace rbrace lbrack
    rbrack vert Vert backslash ulcorner urcorner llcorner lrcorner lgroup rgroup lmoustache
    rmoustache
    mathrm mathbf mathit mathsf mathtt mathcal mathbb mathfrak mathscr mathnormal boldsymbol bm pmb
    rm bf it text textrm textbf textit textsf texttt textnormal mbox operatorname mathop mathbin
    mathrel mathord mathopen mathclose mathpunct mathinner mathstrut displaystyle textstyle
    scriptstyle scriptscriptstyle tiny small normalsize large Large
    quad qquad enspace thinspace medspace thickspace negthinspace negmedspace negthickspace
    hspace hskip mspace space nobreakspace hline hdashline cr newline tag notag nonumber begin end
    arccos arcsin arctan arg cos cosh cot coth csc deg det dim exp gcd hom inf injlim ker lg lim
    liminf limsup ln log max min projlim Pr sec sin sinh sup tan tanh varlimsup varliminf
    ce pu
"""
_ENVIRONMENTS = frozenset(_ENVIRONMENT_NAMES.split())
_COMMANDS = frozenset(_COMMAND_NAMES.split())


def enable_math(parser: Any) -> None:
    """Add the rules and the rendering of math to a parser of markdown-it-py."""
    before = {"alt": ["paragraph", "reference", "blockquote", "list"]}
    parser.block.ruler.before("fence", "math_block", _block_rule, before)
    parser.inline.ruler.before("escape", "math", _inline_rule)
    parser.add_render_rule("math", _render_inline)
    parser.add_render_rule("math_block", _render_block)


def is_plain_math(tex: str) -> bool:
    """Tell whether a formula has only commands and environments that are math."""
    names = {match[1] for match in _COMMAND.finditer(tex)}
    environments = _NAMED.findall(tex)

    are_all_named = len(environments) == len(_BEGIN_OR_END.findall(tex))
    return (
        names <= _COMMANDS | _SYMBOLS and are_all_named and _ENVIRONMENTS.issuperset(environments)
    )


def _inline_rule(state: Any, silent: bool) -> bool:  # noqa: FBT001 - markdown-it calls it so
    formula = _formula_at(state.src, state.pos)
    if formula is None:
        return False

    if not silent:
        token = state.push("math", "", 0)
        token.markup, token.content, token.meta = formula
    state.pos += len(formula[0])
    return True


def _formula_at(source: str, start: int) -> tuple[str, str, dict[str, bool]] | None:
    """Return the formula that begins there, with its marks and without, and how it is shown."""
    opened = source[start : start + 2]
    if opened in _DELIMITED:
        closing, is_display = _DELIMITED[opened]
        end = source.find(closing, start + 2, start + _LONGEST)
        tex = source[start + 2 : max(end, 0)]
        return (f"{opened}{tex}{closing}", tex, {"display": is_display}) if tex.strip() else None

    match = _DOLLAR.match(source, start)
    is_outside = start == 0 or not (source[start - 1].isalnum() or source[start - 1] == "$")
    return (match[0], match[1], {"display": False}) if match and is_outside else None


def _block_rule(state: Any, line: int, last: int, silent: bool) -> bool:  # noqa: FBT001 - as above
    """Read display math that begins and ends a line, whatever Markdown its lines look like."""
    start = state.bMarks[line] + state.tShift[line]
    opened = state.src[start : start + 2]
    if state.is_code_block(line) or opened not in {"$$", "\\["}:
        return False

    closing = _DELIMITED[opened][0]
    end = state.src.find(closing, start + 2, min(start + _LONGEST, state.eMarks[last - 1]))
    if not state.src[start + 2 : max(end, 0)].strip():
        return False
    final = next(number for number in range(line, last) if state.eMarks[number] > end)
    if state.src[end + 2 : state.eMarks[final]].strip():
        return False
    if silent:
        return True

    token = state.push("math_block", "", 0)
    token.markup = state.getLines(line, final + 1, state.blkIndent, keepLastLF=False).strip()
    token.content, token.block = token.markup[2:-2], True
    token.map, state.line = [line, final + 1], final + 1
    return True


def _render_inline(renderer: Any, tokens: Sequence[Any], index: int, options: Any, env: Any) -> str:
    del renderer, options, env
    token = tokens[index]
    return _to_html(token, "span", "\\[" if token.meta["display"] else "\\(")


def _render_block(renderer: Any, tokens: Sequence[Any], index: int, options: Any, env: Any) -> str:
    del renderer, options, env
    return _to_html(tokens[index], "div", "\\[")


def _to_html(token: Any, element: str, opened: str) -> str:
    """Return a formula between marks that MathJax knows; as it was written, if it is refused."""
    if not is_plain_math(token.content):
        return f"<code>{escape(token.markup)}</code>"
    closing = _DELIMITED[opened][0]
    return f"<{element} {_OPEN}>{escape(f'{opened}{token.content}{closing}')}</{element}>"
