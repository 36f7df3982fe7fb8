"""What programs compute on the probes of the fingerprint, in machine code."""

from evosearch.language.native.behaviour import STEP_BYTES, NativeBehaviour, native_behaviour, pack

__all__ = ["STEP_BYTES", "NativeBehaviour", "native_behaviour", "pack"]
