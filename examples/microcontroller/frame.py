"""Print a picture as the header that blink.c includes: python frame.py PICTURE WIDTHxHEIGHT"""

import sys

from PIL import Image

path, size = sys.argv[1:]
width, height = map(int, size.split("x"))
pixels = Image.open(path).convert("L").resize((width, height)).tobytes()
print(f"static const uint8_t frame[{len(pixels)}] = {{{','.join(map(str, pixels))}}};")
