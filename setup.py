"""What pyproject.toml cannot say: a wheel carries the files of a project of one's own (`switchtender init`)."""

from pathlib import Path
from shutil import copyfile

from setuptools import setup
from setuptools.command.build_py import build_py


class WithProjectFiles(build_py):
    """Copies what flows/shipped.txt lists of this checkout into the built package, as `flows/shipped/`."""

    def run(self) -> None:
        super().run()
        if self.editable_mode:
            return
        root = Path(__file__).parent
        for pattern in (root / "flows" / "shipped.txt").read_text(encoding="utf-8").split():
            for path in root.glob(pattern):
                place = Path(self.build_lib, "flows", "shipped", path.relative_to(root))
                place.parent.mkdir(parents=True, exist_ok=True)
                copyfile(path, place)


setup(cmdclass={"build_py": WithProjectFiles})
