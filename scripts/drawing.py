"""What the scripts that draw have in common: matplotlib and its style, colours, times, saving."""
from files import VIRTUAL, deliver, need, printable, virtual_text, write_files

need("matplotlib", "numpy", "pandas")
import matplotlib

matplotlib.use("Agg")  # draws to files, needs no display
import matplotlib.pyplot as plt

# Okabe-Ito's, and Tol's wine: safe for colour-blind readers. Yellow is too faint for a line.
BLACK, BLUE, GREEN, ORANGE = "#000000", "#0072B2", "#009E73", "#E69F00"
PURPLE, SKY, VERMILION, WINE, YELLOW = "#CC79A7", "#56B4E9", "#D55E00", "#882255", "#F0E442"
STYLE = {"axes.grid": True, "grid.color": "#DDDDDD", "grid.linewidth": 0.6, "axes.axisbelow": True,
         "axes.titlelocation": "left", "legend.frameon": False, "legend.borderaxespad": 0,
         "text.parse_math": False}  # names are shown as they are, never read as formulas


def use_style(title_size, **more):
    plt.rcParams.update({**STYLE, "axes.titlesize": title_size, **more})


def time_label(nanoseconds, time_unit):
    if time_unit == VIRTUAL:
        return virtual_text(nanoseconds)
    for unit, scale in (("s", 1e9), ("ms", 1e6), ("us", 1e3)):
        if nanoseconds >= scale * 0.999:
            return f"{nanoseconds / scale:g} {unit}"
    return f"{nanoseconds:g} ns"


def axis_label(text, time_unit):
    """Of an axis that shows times."""
    return f"{text}, {VIRTUAL} (instructions)" if time_unit == VIRTUAL else text


def save(figures, margin_inches):
    """Writes {path: figure} as the suffixes say, and prints the paths."""
    look = {"dpi": 130, "bbox_inches": "tight", "pad_inches": margin_inches}
    write_files({path: lambda file, path=path, figure=figure: figure.savefig(
        file, format=path.suffix[1:], **look) for path, figure in figures.items()})
    deliver("".join(f"{printable(path)}\n" for path in figures))
