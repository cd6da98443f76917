#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Draws the pictures of this folder and truth.json: for each picture its lines in reading order, text and true corners.

usage: make_pictures.py        (needs Pillow and Debian's fonts-dejavu-core, fonts-liberation and fonts-wqy-zenhei)

A line has "reads_as" where the PP-OCRv4 recogniser is known to make something else of it (ONNX Runtime does the same).
A box is [[x, y], ...]: the ink of the line, from the text's own upper left corner clockwise (so an upside-down line starts
at its lower right in the picture). The pictures are kept in the repository; run this again only to change them.
"""
import json
import math
import pathlib

from PIL import Image, ImageDraw, ImageFont

FOLDER = pathlib.Path(__file__).resolve().parent
FONTS = {
    "sans": "dejavu/DejaVuSans.ttf", "sans-bold": "dejavu/DejaVuSans-Bold.ttf", "mono": "dejavu/DejaVuSansMono.ttf",
    "arial": "liberation/LiberationSans-Regular.ttf", "arial-italic": "liberation/LiberationSans-Italic.ttf",
    "times": "liberation/LiberationSerif-Regular.ttf", "times-bold": "liberation/LiberationSerif-Bold.ttf",
    "courier": "liberation/LiberationMono-Regular.ttf", "hei": "wqy/wqy-zenhei.ttc",
}

READS_AS = {
    "地铁2号线 Metro Line 2 开往西直门": "地铁2号线MetroLine2开往西直门",  # it was trained on Chinese, which has no spaces
    "Twelve pixels: the small print of a contract, where everything is decided":
        "Twelve pixels: the small print of a contract, where everything is decidled",
}


def font(name, size):
    return ImageFont.truetype(f"/usr/share/fonts/truetype/{FONTS[name]}", size)


class Picture:
    """A canvas that remembers where each line of text went."""

    def __init__(self, width, height, paper="white"):
        self.image = Image.new("RGB", (width, height), paper)
        self.draw = ImageDraw.Draw(self.image)
        self.paper, self.lines = paper, []

    def line(self, x, y, text, face, size, ink="black", upside_down=False):
        """Writes one line with its ascenders at y; returns the y where the descenders end."""
        left, top, right, bottom = map(round, self.draw.textbbox((x, y), text, font=font(face, size)))
        box = [[left, top], [right, top], [right, bottom], [left, bottom]]
        self.draw.text((x, y), text, font=font(face, size), fill=ink)
        if upside_down:
            self.image.paste(self.image.crop((left, top, right, bottom)).rotate(180), (left, top))
            box = box[2:] + box[:2]
        known = {"reads_as": READS_AS[text]} if text in READS_AS else {}
        self.lines.append({"text": text, **known, "box": box})
        return y + sum(font(face, size).getmetrics())

    def turn(self, degrees):
        """Turns the whole picture counter-clockwise, corners included."""
        cx, cy, a = self.image.width / 2, self.image.height / 2, math.radians(degrees)
        self.image = self.image.rotate(degrees, Image.Resampling.BICUBIC, fillcolor=self.paper)
        for line in self.lines:
            line["box"] = [[round(cx + (x - cx) * math.cos(a) + (y - cy) * math.sin(a)),
                            round(cy - (x - cx) * math.sin(a) + (y - cy) * math.cos(a))] for x, y in line["box"]]

    def save(self, name):
        self.image.quantize(32).save(FOLDER / name, optimize=True)
        return {"picture": name, "lines": self.lines}


def fonts():
    p, y = Picture(720, 520), 24
    for face, text in [("sans", "The quick brown fox jumps over"), ("sans-bold", "the lazy dog at half past nine"),
                       ("arial", "Sphinx of black quartz, judge my vow"), ("arial-italic", "Pack my box with five dozen jugs"),
                       ("times", "How vexingly quick daft zebras jump"), ("times-bold", "Bright vixens jump; dozy fowl quack"),
                       ("courier", "SELECT name, price FROM orders"), ("mono", "INV-2024/0815 Total: 1,749.50 EUR")]:
        y = p.line(32, y, text, face, 32) + 22
    return p.save("fonts.png")


def sizes():
    p, y = Picture(860, 420, "#f4efe2"), 20
    for size, text in [(96, "Carnot"), (64, "Sixty-four pixels"), (44, "Forty-four pixels high"), (30, "Thirty pixels, as on a road sign"),
                       (20, "Twenty pixels: the body text of a page on the screen"),
                       (15, "Fifteen pixels: a footnote that few people read, and nobody quotes"),
                       (12, "Twelve pixels: the small print of a contract, where everything is decided")]:
        y = p.line(28, y, text, "arial", size, "#2a2a33") + 6
    return p.save("sizes.png")


def chinese():
    p, y = Picture(640, 470, "#fdfdf8"), 28
    for size, text in [(48, "卡诺循环与热机效率"), (32, "北京市海淀区中关村大街27号"), (32, "欢迎光临，今日特价：苹果每斤5.80元"),
                       (26, "请在黄线以外排队等候，谢谢合作！"), (26, "地铁2号线 Metro Line 2 开往西直门"), (20, "电话：010-62753108，邮编：100871"),
                       (20, "天行健，君子以自强不息；地势坤，君子以厚德载物。")]:
        y = p.line(36, y, text, "hei", size, "#1c1c1c") + 20
    return p.save("chinese.png")


def dark():
    p = Picture(760, 420, "#10141c")
    p.line(40, 36, "DEPARTURES", "sans-bold", 46, "#ffd84d")
    y = 120
    for time, town, track, ink in [("07:42", "Zurich HB", "Track 3", "#e8eef7"), ("08:05", "Milano Centrale", "Track 12", "#9fe8a8"),
                                   ("08:17", "Paris Gare de Lyon", "Track 5", "#8fc7ff"), ("08:30", "Wien Westbahnhof", "Cancelled", "#ff8f87")]:
        for x, text in [(40, time), (190, town), (560, track)]:
            p.line(x, y, text, "mono", 28, ink)
        y += 58
    p.line(40, 366, "Please mind the gap between the train and the platform", "sans", 22, "#a7b0bf")
    return p.save("dark.png")


def rotated():
    p = Picture(760, 560, "#eef3ee")
    y = 120
    for size, text in [(36, "This note was pinned to the"), (36, "board at a slight angle:"), (28, "Bicycle for sale, 21 gears, blue"),
                       (28, "Call Marta at 555-0173 after 6 pm"), (28, "自行车出售，价格面议")]:
        y = p.line(120, y, text, "hei" if text[0] > "z" else "sans", size, "#18321f") + 24
    p.turn(12)
    return p.save("rotated.png")


def upside_down():
    p = Picture(700, 300, "#fffbe6")
    p.line(40, 40, "This side is the right way up", "sans", 34, "#222222")
    p.line(40, 126, "and this line is upside down", "sans", 34, "#222222", upside_down=True)
    p.line(40, 212, "while the last one stands again", "sans", 34, "#222222")
    return p.save("upside_down.png")


PAGE = """An engine is a program that has already made up its mind. What a compiler may
decide before the first picture arrives, it decides once, and writes down: which
kernel multiplies which matrices, where each result lies in memory, and which of
the many small steps of a network can be taken in one stride. What is left for
the runtime is short: bind the inputs, work out the sizes, run the commands.
The order of the work is worth a look. First the model is read, node by node,
and every shape that can be known is known. Then the graph is made smaller: a
constant stays a constant, a scale moves into the weights before it, two turns
that cancel are never taken. Only then are kernels chosen, and each choice keeps
the reason why the others lost, so that a slow layer can explain itself.
Memory is planned like luggage in a van: the large cases first, then whatever
fits into the gaps. Two buffers may share a place when the first is no longer
needed before the second is born. A good van is full, and nothing rattles in it.
A number without its command is a rumour; here are three of them. The detector
runs at 736 x 992 pixels, the classifier at 48 x 192, the recogniser at 48 x 320
and wider. Sizes like these change with every page, and no plan is made anew.
Nothing here is refused because one step has no fast kernel. It is slower there,
and says so. A plain loop is always ready to take over, which is also what every
fast kernel is tested against. Exactness comes first, speed is what follows.
Last comes the file itself: a header, some tables, the commands, and at the end
the constants, aligned so that they are used where they lie. Loading a network
takes 1/20 of a blink or so, since nothing is copied and nothing is computed.
Should a byte be flipped on the way, the checksum says so before the first run.
Whoever reads this page with a lens will find no more than thirty lines on it,
but a machine has to find them all, keep them apart, and put them in order. That
is the crowded page of this folder, and it ends with a price: 12,345.67 francs.""".splitlines()


def page():
    p, y = Picture(860, 1010, "#fbfbfb"), 34
    p.line(48, y, "On engines that read", "times-bold", 34)
    p.line(620, y + 10, "Page 17 of 128", "times", 22, "#555555")
    y += 62
    for text in PAGE:
        p.line(48, y, text, "times", 21)
        y += 33
    p.line(48, y + 18, "References: [1] S. Carnot, 1824. [2] R. Clausius, 1850.", "arial", 17, "#333333")
    return p.save("page.png")


if __name__ == "__main__":
    truth = [make() for make in (fonts, sizes, chinese, dark, rotated, upside_down, page)]
    lines = ",\n".join(
        f'  {{"picture": "{t["picture"]}", "lines": [\n' +
        ",\n".join("    " + json.dumps(line, ensure_ascii=False) for line in t["lines"]) + "\n  ]}" for t in truth)
    (FOLDER / "truth.json").write_text(f"[\n{lines}\n]\n")
