"""``adapters_adapter.search`` is kept by the database, so that no way of writing an adapter can forget it.

Weights: A the name and title, B tags, owner and base, C the description. Names are split at hyphens, dots and
underscores and kept in the ``simple`` configuration as well, so that a prefix of a name is found unstemmed.
"""

from django.conf import settings
from django.db import migrations

CREATE = """
CREATE FUNCTION catalog_adapter_search() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    owner_name text;
    name_words text;
BEGIN
    SELECT username INTO owner_name FROM accounts_user WHERE id = NEW.owner_id;
    name_words := regexp_replace(NEW.name, '[-_./]+', ' ', 'g');
    NEW.search :=
        setweight(to_tsvector('simple', name_words), 'A')
        || setweight(to_tsvector('english', name_words || ' ' || NEW.title), 'A')
        || setweight(to_tsvector('english', array_to_string(NEW.tags, ' ')), 'B')
        || setweight(to_tsvector('simple', coalesce(owner_name, '')), 'B')
        || setweight(to_tsvector('simple', regexp_replace(NEW.base_name, '[-_./]+', ' ', 'g')), 'B')
        || setweight(to_tsvector('english', NEW.description), 'C');
    RETURN NEW;
END $$;
CREATE TRIGGER catalog_adapter_search
    BEFORE INSERT OR UPDATE OF owner_id, name, title, tags, base_name, description ON adapters_adapter
    FOR EACH ROW EXECUTE FUNCTION catalog_adapter_search();
UPDATE adapters_adapter SET title = title;
"""

DROP = """
DROP TRIGGER catalog_adapter_search ON adapters_adapter;
DROP FUNCTION catalog_adapter_search();
"""


class Migration(migrations.Migration):
    initial = True

    dependencies = [
        ("adapters", "0001_initial"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [migrations.RunSQL(sql=CREATE, reverse_sql=DROP)]
