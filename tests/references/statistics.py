"""The expected numbers of src/eval/stats/tests: SciPy 1.17.1, statsmodels 0.15.0, NumPy.

pip install scipy statsmodels && python tests/references/statistics.py
"""
import itertools
import numpy as np
from scipy import stats
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.power import TTestPower
from statsmodels.stats.weightstats import DescrStatsW

d = np.array([-0.021, -0.004, -0.013, 0.006, -0.017, -0.009, 0.002, -0.011])
print("t", stats.ttest_1samp(d, 0).statistic, stats.ttest_1samp(d, 0).pvalue)
print("interval", stats.ttest_1samp(d, 0).confidence_interval(0.95))
print("tost", [DescrStatsW(d).ttost_mean(-e, e)[0] for e in (0.01, 0.02)])
p = [0.01, 0.04, 0.03, 0.005, 0.2, 0.03]
print("holm", multipletests(p, method="holm")[1])
for effect, n in ((0.5, 10), (1.0, 10), (2.0, 5), (1.2, 8), (0.1, 200)):
    print("power", effect, n, TTestPower().power(effect, n, 0.05))
print("seeds", [TTestPower().solve_power(e, None, 0.05, 0.8) for e in (0.5, 1.0, 2.0)])
print("sd limit", 0.01 * np.sqrt(7 / stats.chi2(7).ppf(0.2)))
five = np.array([0.3, -0.1, 0.7, 0.2, 0.55])
# Every one of the 5^5 resamples, so that the interval is the bootstrap's own and no draw matters.
means = np.array([five[list(i)].mean() for i in itertools.product(range(5), repeat=5)])
print("bootstrap", np.quantile(means, [0.025, 0.975]))
groups = [np.array([0.1, 0.4, -0.2]), np.array([0.9, 0.5]), np.array([0.3, 0.35, 0.2, 0.6])]
one = [[g[list(i)].mean() for i in itertools.product(range(len(g)), repeat=len(g))] for g in groups]
# Groups first, then values within each: the exact distribution by convolution on a grid would be rounded; 4 million draws
# leave an error below 0.001.
r = np.random.default_rng(0)
picked = r.integers(0, 3, (4_000_000, 3))
draws = np.zeros(len(picked))
for slot in range(3):
    for g in range(3):
        here = picked[:, slot] == g
        draws[here] += r.choice(np.array(one[g]), here.sum())
print("hierarchical", np.quantile(draws / 3, [0.025, 0.975]), np.mean([g.mean() for g in groups]))
