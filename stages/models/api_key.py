"""The key of a server, from the environment of the workers."""

from stages.errors import ParamsError


def key_headers(key: str | None, variable: str) -> dict[str, str]:
    """The header that a key is sent in; none without a key.

    Args:
        key: blanks around it, such as the line break of a file that it was read from, are no part of it.
        variable: that it was read from, for the message.

    Raises:
        ParamsError: a header cannot hold it. The client would say so with the key in the message, which rows store.
    """
    key = (key or "").strip()
    if not key:
        return {}
    if not all("!" <= character <= "~" for character in key):
        raise ParamsError(
            f"The key in {variable} must be of ASCII letters, digits and marks, got {len(key)} characters with others "
            "among them. Set it anew."
        )
    return {"Authorization": f"Bearer {key}"}
