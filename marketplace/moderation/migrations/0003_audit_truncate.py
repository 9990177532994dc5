from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [
        ("moderation", "0002_notified_at"),
    ]

    operations = [
        # Row triggers do not see TRUNCATE. Django empties the tables of a test database with it, so the test settings
        # allow it for their own connections; no other connection sets this variable.
        migrations.RunSQL(
            sql="""
            CREATE FUNCTION moderation_auditentry_no_truncate() RETURNS trigger LANGUAGE plpgsql AS $$
            BEGIN
                IF coalesce(current_setting('brickyard.allow_truncate', true), '') <> 'on' THEN
                    RAISE EXCEPTION 'the audit log is append-only';
                END IF;
                RETURN NULL;
            END $$;
            CREATE TRIGGER moderation_auditentry_no_truncate
                BEFORE TRUNCATE ON moderation_auditentry
                FOR EACH STATEMENT EXECUTE FUNCTION moderation_auditentry_no_truncate();
            """,
            reverse_sql="""
            DROP TRIGGER moderation_auditentry_no_truncate ON moderation_auditentry;
            DROP FUNCTION moderation_auditentry_no_truncate();
            """,
        ),
    ]
