"""What the property tests draw."""

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

# The same examples in every run, and no clock that a slow machine trips.
fixed = settings(
    max_examples=60,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
class_counts = st.lists(st.integers(1, 10**7), min_size=2, max_size=30)
labels = st.lists(st.integers(0, 9), min_size=1, max_size=40)
anything = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats()
    | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4),
    max_leaves=8,
)
