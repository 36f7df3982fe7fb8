"""Networks as pairs of functions, weights in, outputs out; they know nothing of data or losses.

`classifier.py` what a classifier of images is · `mlp.py` · `attention.py` the transformer that several
share · `vit.py` · `mixer.py` · `resnet.py` · `hybrid.py` · `gru.py` · `unet.py`
"""
