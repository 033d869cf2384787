"""Energy and area of a chip and its programs: hardware units, technologies, models, reports."""
