"""Who may do what, for how long and how often: the words and numbers of the process, as data.

PURE: no framework, no database. One file (`default.yaml`) holds every number.
"""

from crowd.policy.intake import Action, Covering, IntakePolicy
from crowd.policy.load import PolicyError, load_policy, parse_policy
from crowd.policy.model import Grade, Policy, Stage, StagePolicy

__all__ = [
    "Action",
    "Covering",
    "Grade",
    "IntakePolicy",
    "Policy",
    "PolicyError",
    "Stage",
    "StagePolicy",
    "load_policy",
    "parse_policy",
]
