"""Math in answers: what Jupyter may typeset, what stays text, and what TeX may not do."""

from __future__ import annotations

import re
from html import unescape

import pytest
from langchain_core.messages import AIMessage

from langchain_openrouter import _html
from langchain_openrouter._notebook._markdown import markdown_html
from langchain_openrouter._notebook._messages import message_html
from langchain_openrouter._progress_bar import BarState, _to_html

_FORMULA = re.compile(r'<(?:span|div) class="mathjax_process tex2jax_process">(.*?)</', re.DOTALL)


def formulas(text):
    """Return what MathJax is given of a text."""
    return [unescape(found) for found in _FORMULA.findall(markdown_html(text))]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("So $x_1^2 + y_1^2$.", [r"\(x_1^2 + y_1^2\)"]),
        (r"So \(a * b * c < d\).", [r"\(a * b * c < d\)"]),
        ("**$n$**-th, *$m$*", [r"\(n\)", r"\(m\)"]),
        (r"one $$\frac12$$ in a line", [r"\[\frac12\]"]),
        ("$$\na\n- b\n= c\n$$\nand", ["\\[\na\n- b\n= c\n\\]"]),
        (r"\[ \begin{aligned} a &= b \\ c &= d \end{aligned} \]",
         [r"\[ \begin{aligned} a &= b \\ c &= d \end{aligned} \]"]),
        ("> $$\n> a\n> $$", ["\\[\na\n\\]"]),
        ("- \\[a\\]\n- $b$", [r"\[a\]", r"\(b\)"]),
        (r"$\text{costs \$5 if } \ce{H2O}$", [r"\(\text{costs \$5 if } \ce{H2O}\)"]),
    ],
)  # fmt: skip
def test_math_reaches_mathjax_as_it_was_written(text, expected):
    """Markdown takes neither its backslashes nor its underscores, stars and lines."""
    assert formulas(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "It costs $5 and not $6.", "from $5.00 to $6.00", "US$5/$6", "$HOME and $PATH", "a$b$c",
        r"\$5 and \$6", "`$code$`", "```\n$x$\n```", "$$ $$", "$ a $", "$a", r"\(a", "    $$a$$",
    ],
)  # fmt: skip
def test_prices_variables_and_code_stay_text(text):
    """Also in a cell of a table and in the line of a bar, where Jupyter would typeset them."""
    assert formulas(text) == []
    assert message_html(AIMessage(text)).startswith('<div class="mathjax_ignore tex2jax_ignore">')
    assert '<table class="mathjax_ignore' in _html.facts([("a", text)])
    assert '<table class="mathjax_ignore' in _html.table(["a"], [[text]])
    assert '<span class="mathjax_ignore' in _to_html(BarState(text, 1, 2))


@pytest.mark.parametrize(
    "tex",
    [
        r"\href{javascript:steal()}{x}", r"\require{html}", r"\class{a}{x}", r"\cssId{a}{x}",
        r"\style{background:url(//evil.example)}{x}", r"\bbox[background:url(//evil.example)]{x}",
        r"\mmlToken{mi}[href='javascript:steal()']{x}", r"\def\a{x}", r"\newcommand{\a}{x}",
        r"\let\a\b", r"\csname href\endcsname{javascript:steal()}{x}", r"\unicode{60}",
        r"\text{\href{javascript:steal()}{x}}", r"\begin{evil}x\end{evil}", r"\begin x",
        r"\includegraphics{//evil.example/x}", r"\data{a=b}{x}", r"\color{red}x",
    ],
)  # fmt: skip
@pytest.mark.parametrize("form", ["so ${}$", r"so \({}\)", r"\[{}\]", "$$\n{}\n$$"])
def test_a_formula_that_does_more_than_math_is_shown_as_it_was_written(tex, form):
    """TeX of MathJax can lead elsewhere, set attributes, define and load."""
    text = form.replace("{}", tex)
    html = markdown_html(text)

    assert formulas(text) == []
    assert f"<code>{form.replace('so ', '').replace('{}', tex)}</code>" in unescape(html)


def test_html_in_a_formula_is_text():
    """Escaped, as everywhere."""
    html = markdown_html("$</span><script>steal()</script>$")
    assert "<script>" not in html
    assert "</span><script" not in html
