"""Register, log in, write, edit, delete, log out: on a phone and a desk, light and dark, no script.

Each page on the way is held to Surfer.check, and a picture of it is kept under
results/screenshots/ to be looked at.
"""

import pytest

from tests.people.in_chromium import DESKTOP, PASSWORD, PHONE, SMALL_PHONE, Surfer

pytestmark = pytest.mark.browser

WINDOWS = {
    "phone-light": {"viewport": PHONE, "color_scheme": "light", "has_touch": True},
    "phone-dark": {"viewport": PHONE, "color_scheme": "dark", "java_script_enabled": False},
    "small-phone": {"viewport": SMALL_PHONE, "java_script_enabled": False},
    "desktop-light": {"viewport": DESKTOP, "color_scheme": "light", "java_script_enabled": False},
    "desktop-dark": {"viewport": DESKTOP, "color_scheme": "dark"},
}
LONG_WORD = "Donaudampfschifffahrtselektrizitätenhauptbetriebswerkbauunterbeamtengesellschaft"


@pytest.fixture(params=WINDOWS)
def surfer(request, browser, address):
    surfer = Surfer(browser, address, **WINDOWS[request.param])
    surfer.window = request.param
    yield surfer
    surfer.close()


def test_the_whole_journey(surfer):
    page, look = surfer.page, lambda name: surfer.look(f"{surfer.window}-{name}")
    name = f"ada-{surfer.window}"
    title = f"{LONG_WORD} of {name}"

    surfer.open("/")
    look("1-front")
    surfer.follow("Create an account")
    look("2-register")
    surfer.press("Create the account")
    look("3-register-refused")
    surfer.register(name)
    look("4-posts-empty")

    surfer.press("Log out")
    surfer.open("/posts/")
    assert surfer.heading() == "Log in"
    page.get_by_label("Name").fill(name)
    page.get_by_label("Password").fill("not the password")
    surfer.press("Log in")
    look("5-login-refused")
    page.get_by_label("Password").fill(PASSWORD)
    surfer.press("Log in")
    assert surfer.heading() == "Posts"

    def unfold():
        if not page.get_by_label("Title").is_visible():
            page.get_by_text("Write a post").click()

    unfold()
    surfer.press("Publish")
    look("6-post-refused")
    assert page.get_by_role("alert").evaluate("e => e === document.activeElement")
    page.get_by_label("Title").fill("Tea <b>at</b> five")
    page.get_by_label("Text").fill("The kettle is on.\n\nBring a cup — and " + LONG_WORD + ".")
    surfer.press("Publish")
    assert surfer.heading() == "Tea <b>at</b> five"
    assert page.get_by_role("status").inner_text() == "Your post is published."
    look("7-post")

    surfer.follow("Edit")
    page.get_by_label("Title").fill(title)
    look("8-edit")
    surfer.press("Save")
    assert surfer.heading() == title
    surfer.open("/posts/")
    look("9-posts")

    surfer.follow(title)
    surfer.follow("Delete…")
    assert surfer.heading() == "Delete this post?"
    look("10-delete")
    surfer.press("Delete it")
    assert surfer.heading() == "Posts"
    assert page.get_by_role("link", name=title).count() == 0

    surfer.follow(name)
    look("11-sessions")
    surfer.follow("Change your password")
    look("12-password")

    surfer.open("/nowhere")
    look("13-not-found")

    surfer.open("/posts/")
    surfer.press("Log out")
    assert surfer.heading() == "One request, four programs, no mystery"
    surfer.open("/posts/")
    assert surfer.heading() == "Log in"


def test_many_posts_can_be_paged_through(browser, address):
    surfer = Surfer(browser, address, viewport=PHONE)
    surfer.register("writer")
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


def test_the_keyboard_is_enough(browser, address, stack_name):
    surfer = Surfer(browser, address, viewport=DESKTOP)
    surfer.open("/auth/login")
    assert surfer.tab_order(7) == [
        "Skip to the content",
        stack_name,
        "Log in",
        "Register",
        "Name",
        "Password",
        "Log in",
    ]
    surfer.open("/")
    surfer.page.keyboard.press("Tab")
    surfer.page.keyboard.press("Enter")
    surfer.page.keyboard.press("Tab")
    focused = surfer.page.evaluate("document.activeElement.innerText")
    assert focused == "Log in"
    assert surfer.page.evaluate("document.activeElement.closest('main') !== null")

    surfer.register("keys")
    surfer.open("/posts/")
    summary = surfer.page.get_by_text("Write a post")
    if not surfer.page.get_by_label("Title").is_visible():
        summary.focus()
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


def test_text_twice_as_large_still_fits(browser, address):
    """WCAG 1.4.4 and 1.4.10: the page at 200 % is the page in half the window."""
    surfer = Surfer(browser, address, viewport={"width": 320, "height": 640})
    for path in ("/", "/auth/login", "/auth/register", "/nowhere"):
        surfer.open(path)
        surfer.check(path)
    surfer.close()
