"""Giving an editor back with what is wrong, while the rest of the page is left alone."""

from starlette.responses import Response


def put_in_place(response: Response, selector: str) -> None:
    """Let htmx take one element out of an answer, and put it where the same one was.

    An open editor is passed by when the part around it is replaced, so that nothing that is being
    typed gets lost; this is how it is replaced itself.
    """
    response.headers["HX-Retarget"] = selector
    response.headers["HX-Reselect"] = selector
    response.headers["HX-Reswap"] = "outerHTML"
    response.headers["HX-Push-Url"] = "false"
