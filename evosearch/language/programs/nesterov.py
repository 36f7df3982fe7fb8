def train(w, g, m, v, lr):
    """Gradient descent with Nesterov's momentum, in the form that looks ahead along the new momentum."""
    decayed = m * 0.9
    m = decayed + g
    ahead = m * 0.9
    ahead = ahead + g
    lr = lr * 0.01
    update = ahead * lr
    return update, m, v
