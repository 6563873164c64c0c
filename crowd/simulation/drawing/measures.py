"""What figures, clothes and studios measure, and the colours of those that are not clothes: data alone.

Lengths are shares of the figure's height (y: 0 crown, 1 soles; x: from the middle).
"""

from crowd.simulation.drawing.lines import Point
from crowd.simulation.wardrobe import RGB

BACKDROPS: tuple[RGB, ...] = (
    (232, 230, 226), (224, 228, 232), (236, 228, 218), (222, 229, 222), (232, 222, 224), (214, 218, 224),
)  # fmt: skip
MANNEQUINS: tuple[RGB, ...] = (
    (238, 228, 217),
    (222, 203, 184),
    (198, 170, 148),
    (150, 118, 98),
    (226, 224, 222),
)
SHOES: tuple[RGB, ...] = ((48, 46, 50), (236, 234, 230), (128, 86, 60), (196, 172, 142))

# Half width of the body at a height.
BODY = (
    (0.160, 0.030), (0.178, 0.080), (0.190, 0.097), (0.240, 0.080), (0.270, 0.083), (0.320, 0.073),
    (0.375, 0.063), (0.430, 0.080), (0.485, 0.095), (0.540, 0.097),
)  # fmt: skip
NECKLINES: dict[str | None, tuple[Point, ...]] = {
    "round-neck": ((0, 0.206), (0.020, 0.203), (0.037, 0.190), (0.045, 0.168)),
    "u-neck": ((0, 0.240), (0.022, 0.235), (0.040, 0.208), (0.048, 0.169)),
    "v-neck": ((0, 0.246), (0.044, 0.167)),
    "square-neck": ((0, 0.222), (0.050, 0.222), (0.054, 0.171)),
    "boat-neck": ((0, 0.188), (0.040, 0.183), (0.074, 0.174)),
    "turtleneck": ((0, 0.130), (0.021, 0.131), (0.023, 0.152), (0.044, 0.167)),
    None: ((0, 0.196), (0.018, 0.176), (0.030, 0.162)),
}
SMOOTH_NECKS = frozenset(("round-neck", "u-neck", "boat-neck"))
EASE = {"tight": 0.002, "normal": 0.008, "skinny": 0.003, "loose": 0.018, "oversized": 0.026, "wide": 0.012}
TOP_HEM = {"crop": 0.392, "normal": 0.462, "long": 0.535}
OUTER_HEM = {"crop": 0.415, "normal": 0.520, "half": 0.600, "long": 0.730, "maxi": 0.840}
SKIRT_HEM = {"mini": 0.605, "knee-length": 0.705, "midi": 0.800, "ankle": 0.880, "maxi": 0.925}
PANTS_HEM = {"ankle": 0.905, "maxi": 0.952}
# How far down the arm (1: the elbow, 2: the wrist).
SLEEVES = {"cap-sleeve": 0.3, "short-sleeve": 0.62, "3/4th-sleeve": 1.4, "long-sleeve": 2.0}
