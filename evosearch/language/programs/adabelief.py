def train(w, g, m, v, lr):
    """AdaBelief-like: the second moment is that of the gradient's surprise, g - m."""
    m = interp(g, m, 0.9)
    surprise = g - m
    surprise = square(surprise)
    v = interp(surprise, v, 0.999)
    sqrt_v = sqrt(v)
    update = m / sqrt_v
    wd = w * 0.01
    update = update + wd
    lr = lr * 0.001
    update = update * lr
    return update, m, v
