"""What a drawn figure holds, for the tests of figures."""

from xml.etree import ElementTree

from chestxray14.report.figures import COLOURS

SVG = "{http://www.w3.org/2000/svg}"


def texts(svg: str) -> list[str]:
    """Return every text of a figure."""
    return ["".join(node.itertext()) for node in ElementTree.fromstring(svg).iter(f"{SVG}text")]


def marks(svg: str, colour: str) -> int:
    """Count the marks of a colour, without the one in the legend."""
    uses = [node.get("style", "") for node in ElementTree.fromstring(svg).iter(f"{SVG}use")]
    return sum(f"var(--{COLOURS[colour]}, {colour})" in style for style in uses) - 1
