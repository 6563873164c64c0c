"""The list of screens: who sees each, at which address, and what has to be done before it shows."""

from collections.abc import Callable
from dataclasses import dataclass

from tests.browser.house import EXAMPLE_SEEDS, main_style
from tests.browser.visitors import Visitor

Act = Callable[[Visitor], None]


@dataclass(frozen=True, slots=True)
class Screen:
    """One screen; `act` brings the page of `path` there."""

    name: str
    person: str
    path: str
    act: Act


def _nothing(visitor: Visitor) -> None:
    """Only look."""


def _working(*keys: str) -> Act:
    def act(visitor: Visitor) -> None:
        visitor.bench.wait_for()
        visitor.press(*keys)

    return act


def _in_window(*keys: str) -> Act:
    def act(visitor: Visitor) -> None:
        visitor.bench.wait_for()
        visitor.press(keys[0])
        visitor.page.get_by_role("dialog").wait_for()
        visitor.press(*keys[1:])

    return act


def _in_grid(*keys: str) -> Act:
    def act(visitor: Visitor) -> None:
        visitor.page.locator(".tile").first.wait_for()
        visitor.press(*keys)

    return act


def _learnt(visitor: Visitor) -> None:
    """A practice answer, and what is said of it."""
    visitor.bench.wait_for()
    visitor.press("Enter", "/")
    visitor.page.keyboard.type("resort")
    visitor.press("Enter", "Enter")
    visitor.page.locator("[data-right]").wait_for()


def _looking(visitor: Visitor) -> None:
    visitor.page.locator(".known").wait_for()


def _examined(visitor: Visitor) -> None:
    """The exam's one question answered; it stays passed."""
    there = visitor.page.locator("section.bench, [data-passed]")
    there.first.wait_for()
    if visitor.bench.count():
        visitor.press("5", "Enter")
    visitor.page.locator("[data-passed]").wait_for()


def _deciding(key: str) -> Act:
    """The window that asks why, behind the first button that says so."""

    def act(visitor: Visitor) -> None:
        visitor.button(key).click()
        visitor.page.get_by_role("dialog").wait_for()

    return act


def _behind_style(visitor: Visitor) -> None:
    visitor.page.locator("ul.images li a").first.wait_for()


def _person_of_a_proposal(visitor: Visitor) -> None:
    visitor.page.locator("[data-proposal] h2 a").first.click()
    visitor.page.locator(".by-stage dt").first.wait_for()


def _at_the_curves(visitor: Visitor) -> None:
    figures = visitor.page.locator("figure")
    if figures.count():
        figures.first.evaluate("element => element.scrollIntoView()")


def _at_the_drift(visitor: Visitor) -> None:
    figures = visitor.page.locator("figure")
    if figures.count():
        figures.last.evaluate("element => element.scrollIntoView()")


def _at_the_plots(visitor: Visitor) -> None:
    visitor.page.locator(".plots a").first.wait_for()
    visitor.page.locator(".plots").evaluate("element => element.scrollIntoView()")


STEERING = (
    Screen("dashboard-plots", "admin", "/admin", _at_the_plots),
    Screen("person-judged", "admin", "/admin/proposals", _person_of_a_proposal),
    Screen("proposals", "admin", "/admin/proposals", _nothing),
    Screen("proposals-confirm", "admin", "/admin/proposals", _deciding("confirm")),
    Screen("flags", "admin", "/admin/flags", _nothing),
    Screen("flag", "admin", "/admin/flags/1", _nothing),
    Screen("gold", "admin", "/admin/gold", _nothing),
    Screen("gold-item", "admin", "/admin/gold/3", _nothing),
    Screen("plans", "admin", "/admin/plans", _nothing),
    Screen("assignments", "admin", "/admin/assignments", _nothing),
    Screen("groups", "admin", "/admin/groups", _nothing),
    Screen("group", "admin", "/admin/groups/1", _nothing),
    Screen("notices", "admin", "/admin/notices", _nothing),
    Screen("behind", "admin", "/admin/behind?figure=styled", _behind_style),
)


def _opened(visitor: Visitor) -> None:
    visitor.page.locator(".frame").first.click()
    visitor.page.get_by_role("dialog").wait_for()


def _asked_to_end(visitor: Visitor) -> None:
    visitor.button("contracts.withdraw").click()
    visitor.page.get_by_role("dialog").wait_for()


def _chosen(visitor: Visitor) -> None:
    # A fresh house has no data set yet; then the page says so.
    for choice in visitor.page.locator("main td button").all()[:1]:
        choice.click()
        visitor.page.locator("main h2").first.wait_for()


def _rewritten(visitor: Visitor) -> None:
    text = visitor.page.locator("textarea")
    text.wait_for()
    visitor.page.get_by_role("heading", level=3).first.wait_for()
    text.fill("## One\n\n- A **point** of ours.\n")


def _redefined(visitor: Visitor) -> None:
    """A style's definition written, another retired, and what that would change."""
    visitor.page.locator("[data-entry=punk]").click()
    visitor.page.get_by_label(visitor.word("terms.retire")).check()
    visitor.page.locator("[data-entry=street]").click()
    definition = visitor.word("styles.definition")
    visitor.page.get_by_label(f"{definition} · 한국어").fill("길에서 입는 옷에서 온 스타일")
    visitor.page.get_by_label(f"{definition} · English").fill("What is worn in the street, hoods and denim.")
    visitor.button("terms.look").click()
    visitor.page.locator("[data-outlook]").wait_for()


def _marked(visitor: Visitor) -> None:
    visitor.bench.wait_for()
    visitor.press("c", "Space", "Shift+ArrowRight", "Shift+ArrowDown", "Space")
    visitor.page.get_by_role("dialog").wait_for()


def _previewed(visitor: Visitor) -> None:
    """How large the sample would be of another supplier than the one whose audit stands."""
    visitor.page.get_by_label(visitor.word("audits.tolerable")).fill("5")
    visitor.page.get_by_label(visitor.word("images.supplier")).select_option("Atelier")
    visitor.button("audits.preview").click()
    visitor.page.locator("[data-preview], [role=alert]").first.wait_for()


def _sending_back(visitor: Visitor) -> None:
    visitor.button("audits.back_preview").click()
    visitor.page.locator("button.danger").click()
    visitor.page.get_by_role("dialog").wait_for()


AUDITS = (
    Screen("audits", "admin", "/admin/audits", _nothing),
    Screen("audits-preview", "admin", "/admin/audits", _previewed),
    Screen("audit", "admin", "/admin/audits/1", _nothing),
    Screen("audit-send-back", "admin", "/admin/audits/1", _sending_back),
    Screen("audit-images", "admin", "/admin/audits/1/images", _nothing),
    Screen("audit-blocked", "admin", "/admin/audits/2", _nothing),
    Screen("audit-attention", "admin", "/admin", _nothing),
    Screen("audit-judging", "judge", "/work/second_review", _working("1", "2", "Shift+3", "q")),
    Screen("auditor-audits", "auditor", "/", _nothing),
    Screen("auditor-audit", "auditor", "/admin/audits/1", _nothing),
    Screen("auditor-overview", "auditor", "/admin", _nothing),
    Screen("auditor-image", "auditor", "/admin/images/1", _nothing),
    Screen("auditor-releases", "auditor", "/admin/releases", _nothing),
    Screen("auditor-guidelines", "auditor", "/admin/guidelines", _nothing),
)


def _styled(*keys: str) -> Act:
    """The style that has an example looked at."""

    def act(visitor: Visitor) -> None:
        visitor.bench.wait_for()
        # What another screen has begun is found again, past its pre-check.
        if visitor.page.locator(".styles").count() == 0:
            visitor.press("Enter")
        visitor.page.locator(f"[data-style='{main_style(EXAMPLE_SEEDS[0])}']").focus()
        visitor.page.locator("[data-example] img").first.wait_for()
        visitor.press(*keys)
        if keys:
            visitor.page.get_by_role("dialog").locator("img").first.wait_for()

    return act


def _guided(visitor: Visitor) -> None:
    visitor.bench.wait_for()
    visitor.press("Shift+G")
    visitor.page.get_by_role("dialog").locator("[data-example] img").first.wait_for()


def _chosen_examples(visitor: Visitor) -> None:
    visitor.visit(f"/admin/examples?facet=styles&value={main_style(EXAMPLE_SEEDS[0])}")
    visitor.page.locator("[data-chosen] img").first.wait_for()


def _choosing_example(visitor: Visitor) -> None:
    _chosen_examples(visitor)
    visitor.page.get_by_label(visitor.word("examples.number")).fill("1")
    visitor.press("Enter")
    visitor.page.get_by_role("dialog").wait_for()


def _differing(visitor: Visitor) -> None:
    for number, text in enumerate(("old password", "new password", "another password")):
        visitor.page.locator("input[type=password]").nth(number).fill(text)
    visitor.press("Enter")
    visitor.page.get_by_role("alert").wait_for()


EXAMPLES = (
    Screen("styles-examples", "expert", "/work/styles", _styled()),
    Screen("styles-example-in-large", "expert", "/work/styles", _styled("e")),
    Screen("guide-examples", "expert", "/work/styles", _guided),
    Screen("examples", "admin", "/admin", _chosen_examples),
    Screen("examples-choose", "admin", "/admin", _choosing_example),
)

SCREENS = (
    Screen("login", "", "/", _nothing),
    Screen("home", "general", "/", _nothing),
    Screen("segmentation", "general", "/work/segmentation", _working()),
    Screen("segmentation-edited", "general", "/work/segmentation", _working("a", "]")),
    Screen("help", "general", "/work/segmentation", _in_window("Shift+?")),
    Screen("unusable", "general", "/work/segmentation", _in_window("Shift+U")),
    Screen("guide", "general", "/work/segmentation", _in_window("Shift+G")),
    Screen("talk", "general", "/work/segmentation", _in_window("Shift+T")),
    Screen("skip", "general", "/work/segmentation", _in_window("Shift+X")),
    Screen("attributes-precheck", "semi_expert", "/work/attributes", _working()),
    Screen("attributes", "semi_expert", "/work/attributes", _working("Enter", "1", "1", "j", "1")),
    Screen("attributes-doubtful", "semi_expert", "/work/attributes", _working("a")),
    Screen("styles-precheck", "expert", "/work/styles", _working()),
    Screen("sendback", "expert", "/work/styles", _in_window("n", "q")),
    Screen("styles", "expert", "/work/styles", _working("Enter", "1", "2")),
    Screen("first-review", "reviewer", "/work/first_review", _working()),
    Screen("first-review-rejected", "reviewer", "/work/first_review", _working("2", "q", "a")),
    Screen("second-review", "inspector", "/work/second_review", _working("5")),
    Screen("grid", "inspector-2", "/work/grid", _in_grid("5")),
    Screen("grid-magnified", "inspector-2", "/work/grid", _in_grid("2")),
    Screen("first-page", "trainee", "/", _nothing),
    Screen("courses", "trainee", "/courses", _nothing),
    Screen("course", "trainee", "/courses/attributes", _nothing),
    Screen("practice", "trainee", "/courses/segmentation/practice", _working("a")),
    Screen("example", "trainee-2", "/courses/attributes/examples", _looking),
    Screen("lesson", "trainee-3", "/courses/styles/practice", _learnt),
    Screen("exam", "trainee-4", "/courses/first_review/exam", _working()),
    Screen("exam-result", "trainee-5", "/courses/second_review/exam", _examined),
    Screen("own-trainee", "trainee", "/me", _nothing),
    Screen("own", "general", "/me", _nothing),
    Screen("dashboard", "admin", "/admin", _nothing),
    Screen("images", "admin", "/admin/images", _nothing),
    Screen("image", "admin", "/admin/images/1", _nothing),
    Screen("people", "admin", "/admin/people", _nothing),
    Screen("person", "admin", "/admin/people/2", _nothing),
    Screen("releases", "admin", "/admin/releases", _nothing),
    Screen("models", "admin", "/admin/models", _nothing),
    Screen("models-curves", "admin", "/admin/models", _at_the_curves),
    Screen("models-drift", "admin", "/admin/models", _at_the_drift),
    *STEERING,
    # What comes in.
    *EXAMPLES,
    Screen(
        "review-marking",
        "reviewer",
        "/work/first_review",
        _working("c", "Space", "Shift+ArrowRight", "Shift+ArrowDown"),
    ),
    Screen("review-cover", "reviewer", "/work/first_review", _marked),
    Screen("password", "supplier", "/password", _differing),
    Screen("cover", "general", "/work/segmentation", _marked),
    Screen("deliveries", "admin", "/deliveries", _nothing),
    Screen("delivery", "admin", "/deliveries/1", _nothing),
    Screen("delivery-image", "refiner", "/deliveries/1", _opened),
    Screen("contracts", "admin", "/contracts", _nothing),
    Screen("contract-ending", "supplier", "/contracts", _asked_to_end),
    Screen("suppliers", "admin", "/admin/suppliers", _nothing),
    Screen("suppliers-deliveries", "supplier", "/", _nothing),
    Screen("access", "general", "/access", _chosen),
    Screen("access-requests", "admin", "/access", _chosen),
    Screen("guidelines", "admin", "/admin/guidelines", _rewritten),
    Screen("taxonomy", "admin", "/admin/taxonomy", _nothing),
    Screen("taxonomy-preview", "admin", "/admin/taxonomy", _redefined),
    Screen("suppliers-delivery", "supplier", "/deliveries/1", _nothing),
    *AUDITS,
)
