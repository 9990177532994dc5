"""What people may take: bytes, files, days and numbers, each of which an operator can set."""

from marketplace.settings.base import env

UPLOAD_MAX_BYTES = env.int("UPLOAD_MAX_BYTES", default=2 * 1024**3)
UPLOAD_MAX_FILES = env.int("UPLOAD_MAX_FILES", default=64)
# The worker that checks the config reads the same variable.
UPLOAD_MAX_CONFIG_BYTES = env.int("CHECK_MAX_CONFIG_BYTES", default=1_000_000)
UPLOAD_MAX_CARD_BYTES = env.int("UPLOAD_MAX_CARD_BYTES", default=1_000_000)
# An archive may have so many entries; beyond the bytes it may hold at most so many times its packed size.
ZIP_MAX_ENTRIES = env.int("ZIP_MAX_ENTRIES", default=1000)
ZIP_MAX_RATIO = env.int("ZIP_MAX_RATIO", default=50)
ZIP_RATIO_FROM_BYTES = env.int("ZIP_RATIO_FROM_BYTES", default=64 << 20)
# Uploads that nobody published are forgotten after this many days.
UPLOAD_KEEP_DAYS = env.int("UPLOAD_KEEP_DAYS", default=7)
# Deleted adapters can be restored for this many days; then their files go.
RESTORE_DAYS = env.int("RESTORE_DAYS", default=30)
# What is deleted and can be restored may be as many quotas as this beside what is there.
DELETED_QUOTAS = env.float("DELETED_QUOTAS", default=1.0)
# Files of an adapter that moderators removed are kept this long, for an appeal.
REMOVED_KEEP_DAYS = env.int("REMOVED_KEEP_DAYS", default=30)
# Notifications are forgotten after so many days, read or not.
NOTIFICATION_KEEP_DAYS = env.int("NOTIFICATION_KEEP_DAYS", default=180)
# An account is erased this many days after its owner deleted it; until then they can take it back.
ACCOUNT_GRACE_DAYS = env.int("ACCOUNT_GRACE_DAYS", default=7)
# Whoever was refused access to a gated adapter may ask again after so many days.
ACCESS_ASK_AGAIN_DAYS = env.int("ACCESS_ASK_AGAIN_DAYS", default=7)
# A file that arrives in pieces is forgotten when nothing came for so many hours.
UPLOAD_PARTIAL_HOURS = env.float("UPLOAD_PARTIAL_HOURS", default=48)
# How many such files one user may have under way.
UPLOAD_MAX_PARTIALS = env.int("UPLOAD_MAX_PARTIALS", default=128)
# A sender who is silent for longer, or slower over half a minute, has to begin or go on again.
UPLOAD_SILENCE_SECONDS = env.float("UPLOAD_SILENCE_SECONDS", default=60)
UPLOAD_MIN_BYTES_PER_SECOND = env.int("UPLOAD_MIN_BYTES_PER_SECOND", default=1024)
USER_QUOTA_BYTES = env.int("USER_QUOTA_BYTES", default=10 * 1024**3)
# Adapters from elsewhere. The fetch worker reads IMPORT_ALLOWED_HOSTS (and tokens, proxy, certificates) itself.
IMPORT_HUB_URL = env.str("IMPORT_HUB_URL", default="https://huggingface.co").rstrip("/")
IMPORT_ALLOWED_HOSTS = [host.lower() for host in env.list("IMPORT_ALLOWED_HOSTS", default=[])]
IMPORT_SECONDS = env.int("IMPORT_SECONDS", default=3600)
# What the exports of one person may take together, and how long each is kept.
EXPORT_MAX_BYTES = env.int("EXPORT_MAX_BYTES", default=40 * 1024**3)
EXPORT_KEEP_DAYS = env.float("EXPORT_KEEP_DAYS", default=2.0)
# Every accepted adapter is run on its own examples and its base's probes.
EVALUATE_UPLOADS = env.bool("EVALUATE_UPLOADS", default=True)
# Of each adapter and mix the newest runs on each suite are kept, and all that are younger than so many days. What a
# page shows, and what checks of watched things are held against, is kept beyond.
EVALUATION_KEEP_RUNS = env.int("EVALUATION_KEEP_RUNS", default=5)
EVALUATION_KEEP_DAYS = env.int("EVALUATION_KEEP_DAYS", default=90)
# Suites of examples that people upload: how large one may be, and how many one person may have.
SUITE_MAX_BYTES = env.int("SUITE_MAX_BYTES", default=1_000_000)
SUITE_MAX_EXAMPLES = env.int("SUITE_MAX_EXAMPLES", default=1000)
SUITES_PER_PERSON = env.int("SUITES_PER_PERSON", default=50)
DATA_UPLOAD_MAX_MEMORY_SIZE = 2_621_440
# The upload handler counts first, and in words.
DATA_UPLOAD_MAX_NUMBER_FILES = UPLOAD_MAX_FILES + 1
FILE_UPLOAD_MAX_MEMORY_SIZE = 262_144
# Views that take files receive them by ``adapters.uploads.handler``; everywhere else a file is refused.
FILE_UPLOAD_HANDLERS = ["marketplace.core.no_files.RefuseFiles"]
