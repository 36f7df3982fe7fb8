def train(w, g, m, v, lr):
    """The sign of the momentum."""
    m = interp(g, m, 0.9)
    update = sign(m)
    lr = lr * 0.001
    update = update * lr
    return update, m, v
