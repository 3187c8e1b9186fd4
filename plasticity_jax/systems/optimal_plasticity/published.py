"""What experiments found: Table 1 of Raman & O'Leary 2021, eLife 10:e62912."""

REPORTED_SHARES = {  # Table 1: activity-independent share of synaptic change
    "Nagaoka et al. 2016": 0.50,
    "Quinn et al. 2019": 0.75,
    "Yasumatsu et al. 2008, turnover": 0.67,
    "Yasumatsu et al. 2008, volume (at least)": 0.50,
    "Dvorkin & Ziv 2016, lower": 0.62,
    "Dvorkin & Ziv 2016, upper": 0.64,
    "Minerbi et al. 2009": 0.75,
    "Kasthuri et al. 2015, r^2 = 0.23": 0.77,
    "Kasthuri et al. 2015, r^2 = 0.34": 0.66,
    "Ziv & Brenner 2018, review": 0.50,
}
