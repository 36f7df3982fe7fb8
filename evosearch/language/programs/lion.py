def train(w, g, m, v, lr):
    """Lion (evolved sign momentum), with its default betas."""
    update = interp(g, m, 0.9)
    update = sign(update)
    m = interp(g, m, 0.99)
    wd = w * 0.1
    update = update + wd
    lr = lr * 0.0001
    update = update * lr
    return update, m, v
