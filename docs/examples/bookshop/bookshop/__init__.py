"""A small bookshop, as somebody writes one who knows nothing of this stack.

It reads DATABASE_URL, SECRET_KEY_FILE and DATA_DIR from its environment. docs/make-it-yours.md
brings it into the stack, and a test follows that page.
"""

import os
from pathlib import Path

from flask import Flask

from bookshop.catalogue import catalogue
from bookshop.members import login_manager, members
from bookshop.models import Book, csrf, db

BOOKS = [
    ("A Wizard of Earthsea", "Ursula K. Le Guin", 1250),
    ("Kindred", "Octavia E. Butler", 1400),
    ("Solaris", "Stanisław Lem", 990),
]


def create_app() -> Flask:
    app = Flask(__name__)
    data = Path(os.environ.get("DATA_DIR", app.instance_path))
    app.config.update(
        SECRET_KEY=Path(os.environ["SECRET_KEY_FILE"]).read_text(encoding="ascii").strip(),
        SQLALCHEMY_DATABASE_URI=os.environ.get("DATABASE_URL", f"sqlite:///{data}/bookshop.sqlite"),
        DATA=data,
        SHOP_NAME=os.environ.get("SHOP_NAME", "Bookshop"),
        MAX_CONTENT_LENGTH=6 << 20,
    )
    db.init_app(app)
    csrf.init_app(app)
    login_manager.init_app(app)
    app.register_blueprint(catalogue)
    app.register_blueprint(members, url_prefix="/members")

    @app.cli.command("create-tables")
    def create_tables() -> None:
        """Create the tables and the first books."""
        db.create_all()
        if db.session.query(Book).count() == 0:
            db.session.add_all(Book(title=t, author=a, cents=c) for t, a, c in BOOKS)
            db.session.commit()
        print(f"{db.session.query(Book).count()} books in {db.engine.dialect.name}")

    return app
