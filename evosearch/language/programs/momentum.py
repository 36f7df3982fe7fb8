def train(w, g, m, v, lr):
    """Gradient descent with heavy-ball momentum (Polyak)."""
    decayed = m * 0.9
    m = decayed + g
    lr = lr * 0.01
    update = m * lr
    return update, m, v
