"""Everything between a request's JSON and a response's: connections, keys, events, errors."""
