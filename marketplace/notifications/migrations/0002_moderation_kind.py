from django.db import migrations, models

KINDS = [
    ("regression", "An evaluation left its interval"),
    ("access", "Access to adapters: requests, answers, shares"),
    ("transfer", "Adapters that are offered to you, and answers to your offers"),
    ("moderation", "What moderators decide on your adapters"),
]


class Migration(migrations.Migration):
    dependencies = [("notifications", "0001_notifications")]

    operations = [
        migrations.AlterField(model_name=model, name="kind", field=models.CharField(choices=KINDS, max_length=20))
        for model in ("mutedletter", "notification")
    ]
