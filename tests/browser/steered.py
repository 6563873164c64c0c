"""Something to steer: people with scores, proposals and flags, gold, plans, assignments, groups, notices."""

from datetime import timedelta

from crowd.core import clock
from crowd.policy import Stage
from crowd.steering import plans, telling
from crowd.tiers import evidence, flags, proposals
from crowd.tiers.evidence import Evidence, Kind
from crowd.tiers.flag_models import FlagCode
from tests.browser.house import EXAMPLE_SEEDS, House

JUDGED = 60


def promising(house: House, name: str) -> int:
    """A labeller whose answers on gold were all right, so that the rule proposes more; their id."""
    person = house.person("general", name)
    now = clock.now()
    found = [
        Evidence(
            worker_id=person.id,
            stage=Stage.SEGMENTATION,
            kind=Kind.GOLD,
            value=1.0,
            weight=1.0,
            task_id=number,
            image_id=min(house.seeds, default=1),
            at=now - timedelta(minutes=JUDGED - number),
        )
        for number in range(JUDGED)
    ]
    with house.rt.db.begin() as conn:
        evidence.record(conn, house.rt.policy, found)
    proposals.look_at(house.rt.db, house.rt.policy, person.id, now)
    return person.id


def suspected(house: House, name: str) -> int:
    """Somebody who labels all the same, with a flag about it; the flag's id."""
    person = house.person("general", name)
    told = {"n": 60, "favourite": "jeans", "share": 0.967, "expected": 0.31, "g": 88.4, "degrees": 4}
    with house.rt.db.begin() as conn:
        opened = flags.open_flag(
            conn,
            person.id,
            FlagCode.BLANKET,
            evidence=told | {"chance": 0.000003, "images": sorted(house.seeds)[:6]},
            at=clock.now(),
            stage=Stage.ATTRIBUTES,
        )
    assert opened is not None
    return opened


def steer(house: House) -> None:
    """One of everything that the screens of steering show. Wants a furnished house."""
    promising(house, "promising")
    suspected(house, "suspected")
    boss = house.people["admin"]
    now = clock.now()
    # What people are shown as an example cannot be gold.
    usable = [image for image, seed in house.seeds.items() if seed not in EXAMPLE_SEEDS]
    accepted = [image for image in usable if house.seen(image)["state"] == "accepted"]
    for image in accepted[:2]:
        for item in boss.read("/gold?stage=first_review&limit=200")["items"]:
            if item["image_id"] == image and item["active"]:
                boss.post(f"/gold/{item['id']}/retire", {"reason": "a fault is planted instead"})
        # Refused where it is gold there already.
        stages = ["segmentation", "attributes"]
        boss.post("/gold", {"image_id": image, "stages": stages, "reason": "clear in every detail"})
        boss.post(
            "/gold",
            {"image_id": image, "stages": ["first_review"], "fault": "styles", "reason": "for new reviewers"},
        )
    boss.post("/gold/1/retire", {"reason": "everybody knows it"})
    group = boss.post("/groups", {"kind": "school", "name": "Hill School"}).json
    people = [house.people[name].id for name in ("trainee", "general")]
    boss.post(f"/groups/{group['id']}/members", {"workers": people, "reason": "spring course"})
    deadline = (now + timedelta(days=7)).isoformat()
    boss.post(
        "/assignments",
        {"stage": "adjudication", "worker": house.people["expert"].id, "count": 20, "deadline": deadline},
    )
    days = {"starts_on": (now - timedelta(days=9)).date(), "ends_on": (now + timedelta(days=20)).date()}
    for stage, volume in ((Stage.SEGMENTATION, 400), (Stage.STYLES, 300)):
        wanted = {**days, "volume": volume, "person_id": house.people["expert"].id, "reason": "contract"}
        with house.rt.db.begin() as conn:
            plans.plan(conn, stage, wanted, by=boss.id, now=now)
    boss.post(
        "/notices",
        {
            "title": "Collars",
            "text": "A collar belongs to the top. 칼라는 상의에 속합니다.",
            "stage": "attributes",
        },
    )
    telling.tell(house.rt.db)
