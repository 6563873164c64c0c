"""The released K-Fashion files as a format of exports: a JPEG and a JSON for each image."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from crowd.datasets.check import CheckReport, check_export
from crowd.datasets.formats import kfashion
from crowd.datasets.formats.kfashion import Written
from crowd.datasets.formats.kinds import File, FileSet, Guide, Whole
from crowd.datasets.inspect import check_list
from crowd.datasets.records import Header, ReleasedImage
from crowd.taxonomy import Taxonomy


class KFashion:
    """The pairs of files, the JSON last."""

    name = "kfashion"
    by_split = False
    needs: Sequence[str] = ()

    def layouts(self, taxonomy: Taxonomy) -> Sequence[str]:
        """See Format.layouts."""
        return tuple(layout.value for layout in kfashion.Layout)

    def refusal(self, taxonomy: Taxonomy) -> str | None:
        """See Format.refusal."""
        unknown = [part.key for part in taxonomy.parts if part.key not in kfashion.PARTS or not part.released]
        if not unknown:
            return None
        return f"K-Fashion files have no word for the parts {', '.join(unknown)} of {taxonomy.name}"

    def files(
        self, records: Sequence[ReleasedImage], page: int, layout: str, taxonomy: Taxonomy
    ) -> Iterator[File]:
        """See Format.files."""
        for record in records:
            image, text = kfashion.paths(record, kfashion.Layout(layout), taxonomy)
            yield File(image, record, (record.id,))
            yield File(text, kfashion.encode(kfashion.document(record, taxonomy)), (record.id,))

    def closing(self, whole: Whole) -> Iterator[File]:
        """See Format.closing."""
        return iter(())

    def values(self, record: ReleasedImage, taxonomy: Taxonomy) -> Iterator[Written]:
        """See Format.values."""
        return kfashion.written_values(record, taxonomy)

    def guide(self, header: Header) -> Guide:
        """See Format.guide."""
        return Guide(
            'path = next(pathlib.Path(".").glob("*/*/*.json"))\n'
            'form = json.loads(path.read_text(encoding="utf-8"))\n'
            'labels = form["데이터셋 정보"]["데이터셋 상세설명"]  # 렉트좌표, 폴리곤좌표, 라벨링',
            losses=(
                "The first two styles are written, and eleven attributes (shape and silhouette have no key; "
                " 옷깃, 소매기장 and 넥라인 none on 하의).",
                "Names of regions and the boxes that labellers drew are left out, and which outlines make up "
                "one garment where it has several.",
            ),
        )

    def file_sets(self, layout: str) -> Sequence[FileSet]:
        """See Format.file_sets."""
        images = "*/*/*.jpg"
        return (
            FileSet("images", images, "image/jpeg"),
            FileSet("labels", images.replace("jpg", "json"), "application/json"),
        )

    def check(self, folder: Path, taxonomy: Taxonomy) -> CheckReport:
        """See Format.check."""
        released = {style.released for style in taxonomy.styles if style.released}
        report = check_export(folder, styles=released)
        check_list(folder, report)
        return report
