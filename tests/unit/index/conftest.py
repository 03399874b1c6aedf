"""No deadlines: the machine that runs the tests runs other things too."""

from hypothesis import settings

settings.register_profile("no-deadline", deadline=None)
settings.load_profile("no-deadline")
