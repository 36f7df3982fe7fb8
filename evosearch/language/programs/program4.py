def train(w, g, m, v, lr):
    """Program 8 after the removal of statements that no returned slot depends on, Program 4 of arXiv 2302.06675."""
    g = clip(g, lr)
    g = arcsin(g)
    m = interp(g, v, 0.8999999761581421)
    v1 = m * m
    v = interp(g, m, 1.109133005142212)
    lr = lr * 0.0002171761734643951
    update = m * lr
    v1 = sqrt(v1)
    update = update / v1
    wd = lr * 0.4601978361606598
    wd = wd * w
    m = cosh(update)
    update = update + wd
    return update, m, v
