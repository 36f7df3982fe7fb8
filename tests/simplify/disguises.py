"""Lion in many spellings: renamed, reordered, written out, with junk, with other constants."""

from evosearch.language import Program, parse
from evosearch.language.program import FOOTER, HEADER


def program(body: str) -> Program:
    """A program from its statements, separated by semicolons or line ends."""
    lines = [line.strip() for line in body.replace(";", "\n").splitlines() if line.strip()]
    return parse("\n".join([HEADER, *(f"    {line}" for line in lines), FOOTER]) + "\n", "disguise")


C = "c = interp(g, m, 0.9)"
STATE = "m = interp(g, m, 0.998)"
WD = "wd = w * 0.4602"
T = "t = lr * 0.000217"
DECAYED = f"{WD}; u = s + wd; {T}; update = u * t"

DISGUISES = {
    "plain": f"{C}; s = sign(c); {STATE}; {DECAYED}",
    "renamed": (
        f"x1 = interp(g, m, 0.9); x2 = sign(x1); {STATE}; "
        "q = w * 0.4602; z = x2 + q; k = lr * 0.000217; update = z * k"
    ),
    "reordered": f"{T}; {WD}; {C}; {STATE}; s = sign(c); u = wd + s; update = t * u",
    "other slot": (
        f"c = interp(g, v, 0.9); s = sign(c); v = interp(g, v, 0.998); {WD}; u = s + wd; {T}; update = u * t"
    ),
    "junk": f"a = tanh(w); b = exp(a); v = v + b; {C}; d = norm(c); s = sign(c); {STATE}; {DECAYED}",
    "junk state": f"{C}; s = sign(c); {STATE}; v = interp(c, v, 0.5); {DECAYED}",
    "written-out interp": f"a = g * 0.1; b = m * 0.9; c = a + b; s = sign(c); {STATE}; {DECAYED}",
    "written-out state": f"{C}; s = sign(c); a = g * 0.002; b = m * 0.998; m = a + b; {DECAYED}",
    "interp from a difference": f"d = m - g; e = d * 0.9; c = g + e; s = sign(c); {STATE}; {DECAYED}",
    "interp turned": f"c = interp(m, g, 0.1); s = sign(c); m = interp(m, g, 0.002); {DECAYED}",
    "composed interps": f"{C}; s = sign(c); m = interp(g, c, 1.1088889); {DECAYED}",
    "root of a square": f"{C}; q = c * c; r = sqrt(q); s = c / r; {STATE}; {DECAYED}",
    "root of square()": f"{C}; q = square(c); r = sqrt(q); s = c / r; {STATE}; {DECAYED}",
    "absolute value": f"{C}; r = abs(c); s = c / r; {STATE}; {DECAYED}",
    "absolute value above": f"{C}; r = abs(c); s = r / c; {STATE}; {DECAYED}",
    "reciprocal": f"{C}; r = abs(c); i = reciprocal(r); s = c * i; {STATE}; {DECAYED}",
    "power of minus one": f"{C}; r = abs(c); i = power(r, -1.0); s = c * i; {STATE}; {DECAYED}",
    "sign of a multiple": f"{C}; c = c * 7.0; s = sign(c); {STATE}; {DECAYED}",
    "sign of a negative": f"{C}; c = c * -3.0; s = sign(c); s = s * -1.0; {STATE}; {DECAYED}",
    "zero minus": f"z = w - w; {C}; n = z - c; s = sign(n); s = z - s; {STATE}; {DECAYED}",
    "division by constants": f"a = g / 10.0; b = m * 0.9; c = a + b; s = sign(c); {STATE}; {DECAYED}",
    "sum not one": f"b = m * 9.0; c = g + b; s = sign(c); {STATE}; {DECAYED}",
    "like terms": f"a = g * 0.05; b = m * 0.9; c = a + b; c = c + a; s = sign(c); {STATE}; {DECAYED}",
    "sign of a cube": f"{C}; q = cube(c); s = sign(q); {STATE}; {DECAYED}",
    "sign twice": f"{C}; s = sign(c); s = sign(s); {STATE}; {DECAYED}",
    "larger of equals": f"{C}; c = maximum(c, c); s = sign(c); {STATE}; {DECAYED}",
    "rate inside": f"{C}; s = sign(c); {STATE}; {T}; s = s * t; {WD}; wd = wd * t; update = s + wd",
    "decay after the rate": (
        f"{C}; s = sign(c); {STATE}; {T}; s = s * t; d = lr * 9.98634e-05; wd = d * w; update = s + wd"
    ),
    "rate under the bar": (
        f"{C}; r = abs(c); {T}; u = c * t; u = u / r; {STATE}; {WD}; wd = wd * t; update = u + wd"
    ),
    "constant expressions": f"e = 0.5 + 0.4; c = interp(g, m, e); s = sign(c); {STATE}; {DECAYED}",
    "times one, plus zero": f"{C}; c = c * 1.0; s = sign(c); s = s + 0.0; {STATE}; {DECAYED}",
    "x - x": f"{C}; z = c - c; c = c + z; s = sign(c); {STATE}; {DECAYED}",
    "decay subtracted": f"{C}; s = sign(c); {STATE}; wd = w * -0.4602; u = s - wd; {T}; update = u * t",
    "rate in two steps": f"{C}; s = sign(c); {STATE}; {WD}; u = s + wd; u = u * lr; update = u * 0.000217",
    "exp of log": f"{C}; l = log(c); r = exp(l); s = c / r; {STATE}; {DECAYED}",
    "m times sign": f"{C}; s = sign(c); r = c * s; s = c / r; {STATE}; " + DECAYED,
}
"""Each is Lion with b1 = 0.9, b2 = 0.998, weight decay 0.4602 and a learning-rate factor of 0.000217."""
