"""An app that knows nothing of this stack, as a newcomer brings one: plain Flask, no settings."""

from flask import Flask, Response, request


def create_shop() -> Flask:
    shop = Flask(__name__)

    @shop.get("/")
    def front() -> str:
        return (
            "<h1>Two teapots left</h1>"
            "<form method='post' action='/order'><input name='teapots'></form>"
        )

    @shop.post("/order")
    def order() -> Response:
        text = f"{int(request.form['teapots'])} teapots are yours.\n"
        return Response(text, mimetype="text/plain")

    return shop
