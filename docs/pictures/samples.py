"""Draws the README's contact sheet: images of a K-Fashion export with their polygons over them.

python docs/pictures/samples.py demo-data/export/demo-1-guideline docs/pictures/samples.png
"""

import json
import sys
from pathlib import Path

from PIL import Image, ImageDraw

COLOURS = {"아우터": "#e76f51", "상의": "#2a9d8f", "하의": "#264a9e", "원피스": "#9b5de5"}
COLUMNS, ROWS, WIDTH, HEIGHT, GAP = 6, 2, 190, 266, 8


def outline(polygon: dict[str, float]) -> list[tuple[float, float]]:
    """The points of a polygon entry, in order."""
    count = len(polygon) // 2
    return [(polygon[f"X좌표{n}"], polygon[f"Y좌표{n}"]) for n in range(1, count + 1)]


def tile(document: Path) -> Image.Image:
    """One image with its polygons."""
    labels = json.loads(document.read_text(encoding="utf-8"))
    picture = Image.open(next(document.parent.glob("*.jpg"))).convert("RGB")
    drawing = ImageDraw.Draw(picture, "RGBA")
    polygons = labels["데이터셋 정보"]["데이터셋 상세설명"]["폴리곤좌표"]
    for part, entries in polygons.items():
        for polygon in filter(None, entries):
            points = outline(polygon)
            drawing.polygon(points, fill=COLOURS[part] + "38")
            drawing.line([*points, points[0]], fill=COLOURS[part], width=9, joint="curve")
    scale = max(WIDTH / picture.width, HEIGHT / picture.height)
    picture = picture.resize(
        (round(picture.width * scale), round(picture.height * scale)), Image.Resampling.LANCZOS
    )
    left, top = (picture.width - WIDTH) // 2, (picture.height - HEIGHT) // 2
    return picture.crop((left, top, left + WIDTH, top + HEIGHT))


def main(export: Path, target: Path) -> None:
    """Write the sheet."""
    documents = sorted(export.glob("*/*/*.json"), key=lambda path: int(path.stem))
    drawn = [path for path in documents if next(path.parent.glob("LOOK_*.jpg"), None)]
    sheet = Image.new("RGB", (COLUMNS * (WIDTH + GAP) - GAP, ROWS * (HEIGHT + GAP) - GAP), "white")
    for place, path in enumerate(drawn[: COLUMNS * ROWS]):
        row, column = divmod(place, COLUMNS)
        sheet.paste(tile(path), (column * (WIDTH + GAP), row * (HEIGHT + GAP)))
    sheet.quantize(128).save(target, optimize=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
