"""Write, edit, page through and delete posts: on phone and desktop, light and dark, without script.

Each page passes Surfer.check, and a screenshot of it is kept under results/screenshots/.
"""

import pytest

from tests.people.in_chromium import DESKTOP, PHONE, Surfer

pytestmark = pytest.mark.browser

LONG_WORD = "Donaudampfschifffahrtselektrizitätenhauptbetriebswerkbauunterbeamtengesellschaft"


def test_a_post_from_draft_to_deletion(surfer):
    page, look = surfer.page, lambda name: surfer.look(f"{surfer.window}-{name}")
    name = f"writer-{surfer.window}"
    title = f"{LONG_WORD} of {name}"

    surfer.open("/")
    look("front-demo")
    surfer.register(name)
    surfer.open("/posts/")
    look("posts-empty")

    if not page.get_by_label("Title").is_visible():
        page.get_by_text("Write a post").click()
    surfer.press("Publish")
    look("post-refused")
    assert page.get_by_role("alert").evaluate("e => e === document.activeElement")
    page.get_by_label("Title").fill("Tea <b>at</b> five")
    page.get_by_label("Text").fill("The kettle is on.\n\nBring a cup — and " + LONG_WORD + ".")
    surfer.press("Publish")
    assert surfer.heading() == "Tea <b>at</b> five"
    assert page.get_by_role("status").inner_text() == "Your post has been published."
    look("post")

    surfer.follow("Edit")
    page.get_by_label("Title").fill(title)
    look("edit")
    surfer.press("Save")
    assert surfer.heading() == title
    surfer.open("/posts/")
    look("posts")

    surfer.follow(title)
    surfer.follow("Delete…")
    assert surfer.heading() == "Delete this post?"
    look("delete")
    surfer.press("Delete")
    assert surfer.heading() == "Posts"
    assert page.get_by_role("link", name=title).count() == 0


def test_many_posts_can_be_paged_through(browser, address):
    surfer = Surfer(browser, address, viewport=PHONE)
    surfer.register("writer")
    surfer.open("/posts/")
    token = surfer.page.locator("details input[name=csrf_token]").get_attribute("value")
    for number in range(21):
        post = {"title": f"Post {number}", "text": "Something to read. " * 20, "csrf_token": token}
        assert surfer.context.request.post("/posts/", form=post).ok
    surfer.open("/posts/")
    surfer.look("phone-light-paging")
    surfer.follow("Older")
    assert surfer.page.get_by_role("link", name="Post 0", exact=True).count() == 1
    surfer.follow("Newer")
    assert surfer.page.get_by_role("link", name="Post 20", exact=True).count() == 1
    surfer.close()


def test_the_keyboard_is_enough(browser, address):
    surfer = Surfer(browser, address, viewport=DESKTOP)
    surfer.register("keys-posts")
    surfer.open("/posts/")
    if not surfer.page.get_by_label("Title").is_visible():
        surfer.page.get_by_text("Write a post").focus()
        surfer.page.keyboard.press("Enter")
    surfer.page.get_by_label("Title").focus()
    surfer.page.keyboard.type("By keyboard")
    surfer.page.keyboard.press("Tab")
    surfer.page.keyboard.type("No mouse was moved.")
    surfer.page.keyboard.press("Tab")
    surfer.page.keyboard.press("Enter")
    surfer.page.get_by_role("status").wait_for()
    assert surfer.heading() == "By keyboard"
    surfer.close()
