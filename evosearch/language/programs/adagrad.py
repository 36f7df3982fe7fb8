def train(w, g, m, v, lr):
    """AdaGrad-like: the gradient over the root of the sum of its squares."""
    g2 = square(g)
    v = v + g2
    sqrt_v = sqrt(v)
    update = g / sqrt_v
    lr = lr * 0.1
    update = update * lr
    return update, m, v
