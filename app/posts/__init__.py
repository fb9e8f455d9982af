"""The message board: logged-in users read all posts, write, and edit and delete their own.

Users with the permission `content.moderate` may delete any post. Only its author edits a post.
"""

from __future__ import annotations

import click
from flask import (
    Blueprint,
    Response,
    abort,
    current_app,
    flash,
    redirect,
    render_template,
    request,
    url_for,
)
from flask.blueprints import BlueprintSetupState
from markupsafe import Markup
from werkzeug.wrappers import Response as BaseResponse

from app.navigation import add_link
from app.posts.forms import TEXT_LIMIT, TITLE_LIMIT, PostForm
from app.posts.store import EditedMeanwhile, Post, PostStore, TooManyPosts
from app.security import current_user, login_required, security
from toggles.closed_pipe import quiet_exit

PAGE_SIZE = 20
MAX_PAGE = 1_000_000

blueprint = Blueprint("posts", __name__, url_prefix="/posts", template_folder="templates")
add_link(blueprint, "Posts", "posts.index")
ONE = "/<string(length=16):post_id>"


@blueprint.record_once
def prepare(state: BlueprintSetupState) -> None:
    state.app.extensions["posts"] = PostStore(state.app.extensions["redis"])
    state.app.extensions["posts.fields"] = {}


@blueprint.after_request
def keep_out_of_caches(response: Response) -> Response:
    """The Back button must not show posts after a logout on a shared computer."""
    response.headers["Cache-Control"] = "no-store"
    return response


@blueprint.get("/")
@login_required
def index() -> str:
    return _list(None, _page_number())


@blueprint.post("/")
@login_required
def write() -> BaseResponse | tuple[str, int]:
    form = PostForm()
    if not form.validate():
        return _list(form, 1), 400
    try:
        post_id = _store().write(
            author_id=current_user.id,
            author=current_user.name,
            title=form.title.data,
            text=form.text.data,
        )
    except TooManyPosts as error:
        form.form_errors.append(error.description)
        return Response(_list(form, 1), 429, dict(error.get_headers()))
    flash("Your post has been published.", "success")
    return redirect(url_for("posts.read", post_id=post_id), 303)


@blueprint.get(ONE)
@login_required
def read(post_id: str) -> str:
    post = _found(post_id)
    return render_template(
        "posts/read.html", post=post, may_edit=_may_edit(post), may_delete=_may_delete(post)
    )


@blueprint.route(f"{ONE}/edit", methods=["GET", "POST"])
@login_required
def edit(post_id: str) -> str | BaseResponse | tuple[str, int]:
    post = _found(post_id)
    if not _may_edit(post):
        abort(403, "Only the author can edit a post.")
    form = PostForm(obj=post)
    if request.method != "POST":
        return render_template("posts/edit.html", post=post, form=form)
    if not form.validate():
        return render_template("posts/edit.html", post=post, form=form), 400
    title, text, version = form.title.data, form.text.data, request.form.get("version")
    try:
        if not _store().edit(post_id, title=title, text=text, version=version):
            abort(404)
    except EditedMeanwhile:
        form.form_errors.append(
            "This post has been changed since you opened it. Its present text is below the form. "
            "Save again to replace it by yours."
        )
        stored = _found(post_id)
        return render_template("posts/edit.html", post=stored, form=form, conflict=True), 409
    flash("Your changes have been saved.", "success")
    return redirect(url_for("posts.read", post_id=post_id), 303)


@blueprint.get(f"{ONE}/delete")
@login_required
def confirm_delete(post_id: str) -> str:
    return render_template("posts/delete.html", post=_deletable(post_id))


@blueprint.post(f"{ONE}/delete")
@login_required
def delete(post_id: str) -> BaseResponse:
    _store().delete(_deletable(post_id))
    flash("The post has been deleted.", "success")
    return redirect(url_for("posts.index"), 303)


@blueprint.cli.command()
@click.argument("author")
@click.confirmation_option(prompt="Delete all posts of this author permanently?")
@quiet_exit()
def purge(author: str) -> None:
    """Delete all posts of AUTHOR: the name of an account, or the id of one that was deleted."""
    user = security.find(author)
    click.echo(f"Deleted {_store().delete_of(author if user is None else user.id)} posts.")


@blueprint.cli.command()
@quiet_exit()
def count() -> None:
    """Let posts that are older than the limit of an account count for it."""
    click.echo(f"Counted {_store().count_all()} posts.")


def _list(form: PostForm | None, number: int) -> str:
    """The page with *form*, or with an empty one."""
    page = _store().page(number, PAGE_SIZE)
    if number > page.pages:
        abort(404, f"There is no page {number}. The last page is {page.pages}.")
    fields = _fields(form) if form else _empty_fields()
    return render_template("posts/index.html", page=page, form=form, fields=fields)


def _empty_fields() -> Markup:
    """Rendered once, because WTForms takes half of the CPU time of the page.

    In debug mode each page renders them, so that edits show at once.
    """
    rendered: dict[str, Markup] = current_app.extensions["posts.fields"]
    if not rendered or current_app.debug:
        rendered["empty"] = _fields(PostForm(formdata=None))
    return rendered["empty"]


def _fields(form: PostForm) -> Markup:
    limits = {"title_limit": TITLE_LIMIT, "text_limit": TEXT_LIMIT}
    return Markup(render_template("posts/fields.html", form=form, **limits))  # noqa: S704


def _page_number() -> int:
    text = request.args.get("page", "1")
    number = int(text) if text.isascii() and text.isdigit() and len(text) < 10 else 0
    if not 1 <= number <= MAX_PAGE:
        abort(400, "page must be a whole number of at least 1, such as ?page=2.")
    return number


def _store() -> PostStore:
    store: PostStore = current_app.extensions["posts"]
    return store


def _found(post_id: str) -> Post:
    post = _store().get(post_id)
    if post is None:
        abort(404, "This post does not exist. It may have been deleted.")
    return post


def _deletable(post_id: str) -> Post:
    post = _found(post_id)
    if not _may_delete(post):
        abort(403, "Only the author or a moderator can delete a post.")
    return post


def _may_edit(post: Post) -> bool:
    # By id: after an account is deleted, another user may register its name.
    return bool(post.author_id == current_user.id)


def _may_delete(post: Post) -> bool:
    return _may_edit(post) or "content.moderate" in current_user.permissions
