import jax.numpy as jnp
import numpy as np
import pytest

from jaxmeta import analysis

A = np.array([[2.0, 0.5], [0.5, 1.0]])
C_SUPPORT, C_QUERY, THETA = np.array([[1.0, -2.0], [0.0, 3.0], [0.3, 0.2]])
LAM = 1.5


def quadratic(centre):
    return lambda w: 0.5 * (w - centre) @ jnp.array(A) @ (w - centre)


def by_hand(steps, lr, window):
    """Every estimator on a quadratic, where a step is `w <- M w + ...`, M = I - lr (A + lam I)."""
    w, m = THETA, np.eye(2) - lr * (A + LAM * np.eye(2))
    for _ in range(steps):
        w = w - lr * (A @ (w - C_SUPPORT) + LAM * (w - THETA))
    v = A @ (w - C_QUERY)

    def through(steps):  # d w_T / d theta of the last steps, the pull's share included
        total = np.eye(2)
        for _ in range(steps):
            total = m @ total + lr * LAM * np.eye(2)
        return total

    return {
        "full": through(steps).T @ v,
        "truncated": through(min(window, steps)).T @ v,
        "implicit": np.linalg.solve(np.eye(2) + A / LAM, v),
        "first order": v,
    }


def test_errors_and_angles_against_numpy(x64):
    steps, rates, window = (1, 40), (0.05, 0.2), 2
    found = analysis.estimator_costs(
        quadratic(C_SUPPORT),
        quadratic(C_QUERY),
        jnp.array(THETA),
        inner_steps=steps,
        inner_lrs=rates,
        lam=LAM,
        window=window,
        repeats=1,
    )
    for s, n in enumerate(steps):
        for r, lr in enumerate(rates):
            expected = by_hand(n, lr, window)
            exact = expected["full"]
            for e, name in enumerate(analysis.ESTIMATORS):
                error = np.linalg.norm(expected[name] - exact) / np.linalg.norm(exact)
                np.testing.assert_allclose(found.error[s, r, e], error, rtol=1e-6, atol=1e-10)
                cosine = analysis.cosine(expected[name], exact)
                np.testing.assert_allclose(found.cosine[s, r, e], cosine, rtol=1e-8)
    # The implicit gradient is exact in the limit of many steps.
    implicit = analysis.ESTIMATORS.index("implicit")
    assert found.error[1, 1, implicit] < 1e-4 < found.error[0, 1, implicit]
    assert (found.seconds > 0).all() and (found.bytes >= 0).all()


@pytest.mark.parametrize("settings", [{"lam": 0.0}, {"window": 0}, {"repeats": 0}])
def test_bad_values(settings):
    (name,) = settings
    with pytest.raises(ValueError, match=f"{name} must be"):
        analysis.estimator_costs(
            jnp.sum, jnp.sum, jnp.ones(2), inner_steps=[1], inner_lrs=[0.1], **settings
        )
