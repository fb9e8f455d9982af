"""Everybody's pages: the books, their JSON API, a download and an event stream."""

import csv
import io
import time
from collections.abc import Iterator

from flask import (
    Blueprint,
    Response,
    abort,
    current_app,
    render_template,
    request,
    send_from_directory,
    stream_with_context,
)
from flask_login import current_user, login_required
from flask_wtf import FlaskForm
from flask_wtf.file import FileField, FileRequired
from wtforms import SubmitField

from bookshop import receipts
from bookshop.models import Book, Order, db

catalogue = Blueprint("catalogue", __name__)


class CoverForm(FlaskForm):
    picture = FileField("Picture", validators=[FileRequired()])
    save = SubmitField("Save")


@catalogue.get("/")
def index() -> str:
    return render_template("index.html", books=_found(""))


@catalogue.get("/api/books")
def books() -> list[dict[str, object]]:
    return [
        {"id": book.id, "title": book.title, "author": book.author, "sold": book.sold}
        for book in _found(request.args.get("q", ""))
    ]


@catalogue.post("/api/orders")
@login_required
def order() -> tuple[dict[str, object], int]:
    """Order a book: JSON from bookshop.js, with the CSRF token as a header."""
    book = db.get_or_404(Book, request.get_json()["book"])
    book.sold = Book.sold + 1  # in the database: workers do not wait for each other here
    placed = Order(book=book, member=current_user)
    db.session.add(placed)
    db.session.commit()
    receipts.write(current_app.config["DATA"] / "receipts", f"{current_user.name}: {book.title}")
    return {"order": placed.id, "sold": book.sold}, 201


@catalogue.route("/books/<int:number>/cover", methods=["GET", "POST"])
def cover(number: int) -> Response | str:
    """Show the cover of a book, or a form that uploads it."""
    book = db.get_or_404(Book, number)
    folder = current_app.config["DATA"] / "covers"
    form = CoverForm()
    if request.method == "POST":
        if not current_user.is_authenticated or not form.validate_on_submit():
            abort(403)
        folder.mkdir(exist_ok=True)
        form.picture.data.save(folder / str(book.id))
        return f"{(folder / str(book.id)).stat().st_size} bytes"
    if "edit" in request.args:
        return render_template("cover.html", book=book, form=form)
    return send_from_directory(folder, str(book.id), mimetype="image/png")


@catalogue.get("/export.csv")
def export() -> Response:
    """Stream a row for each of many copies: the file is never whole in memory."""

    def rows() -> Iterator[str]:
        for number in range(int(request.args.get("copies", "1"))):
            for book in books:
                line = io.StringIO()
                csv.writer(line).writerow([number, book.title, book.author, book.cents / 100])
                yield line.getvalue()

    books = _found("")
    return Response(
        stream_with_context(rows()),
        mimetype="text/csv",
        headers={"Content-Disposition": "attachment; filename=books.csv"},
    )


@catalogue.get("/events")
def events() -> Response:
    """Tell three times, half a second apart, how many books are sold."""

    def changes() -> Iterator[str]:
        for _ in range(3):
            db.session.expire_all()
            yield f"data: {sum(book.sold for book in _found(''))}\n\n"
            time.sleep(0.5)

    return Response(stream_with_context(changes()), mimetype="text/event-stream")


def _found(text: str) -> list[Book]:
    matching = db.select(Book).where(Book.title.icontains(text, autoescape=True)).order_by(Book.id)
    return list(db.session.scalars(matching))
