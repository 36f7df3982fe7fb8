def train(w, g, m, v, lr):
    """The sign of the gradient."""
    lr = lr * 0.001
    update = sign(g)
    update = update * lr
    return update, m, v
