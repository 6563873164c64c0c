"""The start page: who is logged in, how the work stands, and where everything else is."""

from flask import Blueprint, render_template

blueprint = Blueprint(
    "pages", __name__, static_folder="static", static_url_path="/static", template_folder="templates"
)


@blueprint.get("/")
def home() -> str:
    """The page itself; its figures come from the API with the visitor's own session."""
    return render_template("home.html")
