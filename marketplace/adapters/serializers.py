"""Shapes of the adapters' REST requests and answers."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.models import AnonymousUser
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from marketplace import policy
from marketplace.adapters import selectors
from marketplace.adapters.downloads import etag_of
from marketplace.adapters.fields import MAX_DESCRIPTION, MAX_EXAMPLES, MAX_TAGS, MAX_TEXT, MAX_TITLE
from marketplace.adapters.licences import obligations_of
from marketplace.adapters.models import Adapter, Artifact, Lineage, PartialUpload, Upload, Version, VersionFile
from marketplace.adapters.standing import successor_of
from marketplace.bases.answers import question_of
from marketplace.bases.findings import problems_of
from marketplace.bases.selectors import fits_of
from marketplace.moderation.selectors import latest_decision


class ProblemSerializer(serializers.Serializer[Any]):
    """One finding about the files: what, where, how to mend it."""

    code = serializers.CharField(help_text="Stable, for programs: `nonfinite_values`.")
    severity = serializers.ChoiceField(choices=["error", "warning", "info"])
    place = serializers.CharField(help_text="A file, a tensor's name, a config key.")
    message = serializers.CharField()
    remedy = serializers.CharField()


class PromptFormatSerializer(serializers.Serializer[Any]):
    """How a prompt is put to the model."""

    kind = serializers.ChoiceField(choices=["plain", "chat"], default="plain")
    template = serializers.CharField(
        default="{prompt}", max_length=MAX_TEXT, trim_whitespace=False, help_text="`{prompt}` stands for the prompt."
    )
    system = serializers.CharField(default="", max_length=MAX_TEXT, allow_blank=True, trim_whitespace=False)
    stop = serializers.ListField(
        child=serializers.CharField(max_length=100, trim_whitespace=False), default=list, max_length=16
    )


class ExampleSerializer(serializers.Serializer[Any]):
    """An example prompt; only its owner sees it unless `public`."""

    prompt = serializers.CharField(max_length=MAX_TEXT)
    expected = serializers.CharField(max_length=MAX_TEXT, required=False, default="", allow_blank=True)
    public = serializers.BooleanField(default=False)


class ArtifactSerializer(serializers.Serializer[Artifact]):
    """Weights and config, and what was measured on them."""

    state = serializers.ChoiceField(choices=Artifact.State.choices)
    problems = ProblemSerializer(many=True)
    summary = serializers.DictField(help_text="What was read from the files: rank, targets, dtype, features, config.")
    rank = serializers.IntegerField()
    size = serializers.IntegerField(help_text="Bytes of weights and config.")
    base = serializers.CharField(source="base.name", allow_null=True, default=None)


class BaseSuggestionSerializer(serializers.Serializer[Any]):
    """Confirm it, or answer otherwise, with `base` when you publish."""

    base = serializers.CharField(allow_null=True, help_text="Null where several fit, or none.")
    note = serializers.CharField(help_text="Why, in sentences.")


class UploadFileSerializer(serializers.Serializer[Any]):
    path = serializers.CharField()
    sha256 = serializers.CharField()
    git_sha1 = serializers.CharField()
    size = serializers.IntegerField()


class UploadSerializer(serializers.ModelSerializer[Upload]):
    """Files that arrived. `state` is about the files, `artifact.state` about the check that a worker makes."""

    problems = ProblemSerializer(many=True)
    files = UploadFileSerializer(many=True)
    artifact = ArtifactSerializer(allow_null=True)
    suggested = serializers.DictField(help_text="What the uploaded card and config suggest for the form.")
    fits = serializers.SerializerMethodField(help_text="Bases here that the tensors fit; empty until the check ended.")
    base_suggestion = serializers.SerializerMethodField(help_text="Where the config names no base here.")
    adapter = serializers.CharField(source="adapter.full_name", allow_null=True, default=None)

    class Meta:
        model = Upload
        fields = [
            "id", "state", "problems", "files", "artifact", "suggested", "fits", "base_suggestion", "adapter",
            "created_at",
        ]  # fmt: skip

    def get_fits(self, upload: Upload) -> list[str]:
        return [base.name for base in fits_of(upload.artifact)]

    @extend_schema_field(BaseSuggestionSerializer(allow_null=True))
    def get_base_suggestion(self, upload: Upload) -> dict[str, Any] | None:
        question = question_of(upload.artifact, upload.suggested)
        return None if question is None else {"base": question.initial or None, "note": question.note}


class PartialUploadSerializer(serializers.ModelSerializer[PartialUpload]):
    """A file that arrives in pieces. Its address for tus is `/api/v1/uploads/tus/{id}/`."""

    complete = serializers.BooleanField(source="is_complete", help_text="Everything arrived.")

    class Meta:
        model = PartialUpload
        fields = ["id", "path", "length", "offset", "group", "fingerprint", "sha256", "complete", "expires_at",
                  "created_at"]  # fmt: skip


class PartsSerializer(serializers.Serializer[Any]):
    """Files that arrived in pieces, to become one upload."""

    parts = serializers.ListField(child=serializers.UUIDField(), allow_empty=False, max_length=128)


class UploadCreateSerializer(serializers.Serializer[Any]):
    """`multipart/form-data`: `adapter_config.json` and `adapter_model.safetensors` (and `README.md`), or one zip."""

    files = serializers.ListField(child=serializers.FileField())


class AdapterSerializer(serializers.ModelSerializer[Adapter]):
    """An adapter as lists show it."""

    full_name = serializers.CharField()
    owner = serializers.CharField(source="owner.username")
    base = serializers.CharField(source="base.name", allow_null=True, default=None)
    state = serializers.CharField(
        source="current.artifact.state", default="pending", help_text="pending, validating, valid, invalid"
    )
    rank = serializers.IntegerField(source="current.artifact.rank", default=0)
    size = serializers.IntegerField(source="current.artifact.size", default=0, help_text="Bytes of weights and config.")
    commit = serializers.CharField(source="current.commit", default="")
    yanked = serializers.SerializerMethodField(help_text="Every version is yanked; nothing new can be made of it.")
    deprecated = serializers.SerializerMethodField(help_text="Its owner says to take something else.")
    tags = serializers.ListField(child=serializers.CharField())

    class Meta:
        model = Adapter
        fields = [
            "full_name", "owner", "name", "title", "description", "license", "tags", "base", "base_name", "visibility",
            "moderation", "origin", "state", "rank", "size", "commit", "yanked", "deprecated", "downloads", "likes",
            "created_at", "updated_at",
        ]  # fmt: skip

    def get_yanked(self, adapter: Adapter) -> bool:
        return adapter.current is not None and adapter.current.yanked_at is not None

    def get_deprecated(self, adapter: Adapter) -> bool:
        return adapter.current is not None and adapter.current.deprecated_at is not None


class VersionFileSerializer(serializers.ModelSerializer[VersionFile]):
    size = serializers.IntegerField(source="blob.size")
    sha256 = serializers.CharField(source="blob.sha256")
    git_sha1 = serializers.CharField(source="blob.git_sha1")
    etag = serializers.SerializerMethodField()

    class Meta:
        model = VersionFile
        fields = ["path", "size", "sha256", "git_sha1", "etag"]

    def get_etag(self, file: VersionFile) -> str:
        return etag_of(file)


class VersionSerializer(serializers.ModelSerializer[Version]):
    """One commit."""

    parent = serializers.CharField(source="parent.commit", allow_null=True, default=None)
    author = serializers.CharField(source="author.username", allow_null=True, default=None)
    state = serializers.CharField(source="artifact.state")
    problems = ProblemSerializer(source="artifact.problems", many=True)
    prompt_format = PromptFormatSerializer()
    files = VersionFileSerializer(many=True)
    superseded_by = serializers.SerializerMethodField(
        help_text="`owner/name@commit` to take instead; null where there is none that you may see."
    )

    class Meta:
        model = Version
        fields = [
            "commit", "parent", "author", "message", "state", "problems", "prompt_format", "files", "created_at",
            "yanked_at", "yank_reason", "deprecated_at", "deprecation", "superseded_by",
        ]  # fmt: skip

    def get_superseded_by(self, version: Version) -> str | None:
        successor = successor_of(self.context.get("user", AnonymousUser()), version)
        return f"{successor.adapter.full_name}@{successor.commit}" if successor else None


class LineageEdgeSerializer(serializers.Serializer[Lineage]):
    adapter = serializers.CharField()
    deleted = serializers.BooleanField(help_text="The adapter was deleted; its name and commit are all that is left.")
    commit = serializers.CharField()
    weight = serializers.FloatField()
    operation = serializers.CharField()


class LineageSerializer(serializers.Serializer[Any]):
    parents = LineageEdgeSerializer(many=True)
    hidden_parents = serializers.IntegerField(help_text="Parents that you may not see.")
    children = LineageEdgeSerializer(many=True)


class AdapterDetailSerializer(AdapterSerializer):
    """An adapter with everything its page shows."""

    problems = serializers.SerializerMethodField()
    summary = serializers.SerializerMethodField(help_text="What was read; `config` for those who may have the files.")
    modules = serializers.ListField(
        child=serializers.DictField(),
        source="current.artifact.modules",
        default=[],
        help_text="Per adapted module: name, rank, d_in, d_out, norm of Δ, effective rank.",
    )
    prompt_format = PromptFormatSerializer(source="current.prompt_format", default={})
    recipe = serializers.SerializerMethodField(help_text="How it was made; parents out of your sight have no label.")
    waiting = serializers.SerializerMethodField(
        help_text="For its owner: the version that is being checked or was not accepted, beside the current one."
    )
    private_reason = serializers.CharField(help_text="Why it has to stay private; empty when it may be public.")
    moderation_reason = serializers.SerializerMethodField(help_text="What the moderator wrote; empty when visible.")
    obligations = serializers.SerializerMethodField()
    examples = serializers.SerializerMethodField()
    files = serializers.SerializerMethodField()
    lineage = serializers.SerializerMethodField()
    fits = serializers.SerializerMethodField(help_text="Every base here that the tensors fit.")

    class Meta(AdapterSerializer.Meta):
        fields = [
            *AdapterSerializer.Meta.fields, "private_reason", "moderation_reason", "obligations", "problems", "summary",
            "modules", "prompt_format", "recipe", "waiting", "examples", "files", "lineage",
            "fits",
        ]  # fmt: skip

    @extend_schema_field(ProblemSerializer(many=True))
    def get_problems(self, adapter: Adapter) -> list[dict[str, Any]]:
        return problems_of(adapter)

    def get_moderation_reason(self, adapter: Adapter) -> str:
        decision = latest_decision(adapter) if adapter.moderation != Adapter.Moderation.VISIBLE else None
        return decision.reason if decision else ""

    @extend_schema_field(serializers.DictField())
    def get_summary(self, adapter: Adapter) -> dict[str, Any]:
        summary = dict(adapter.current.artifact.summary) if adapter.current else {}
        if not policy.may_download(self.context["user"], adapter):
            summary.pop("config", None)
        return summary

    def get_recipe(self, adapter: Adapter) -> dict[str, Any] | None:
        return selectors.recipe_of(user=self.context["user"], adapter=adapter)

    @extend_schema_field(VersionSerializer(allow_null=True))
    def get_waiting(self, adapter: Adapter) -> dict[str, Any] | None:
        version = selectors.waiting_version(user=self.context["user"], adapter=adapter)
        return None if version is None else dict(VersionSerializer(version, context=self.context).data)

    def get_obligations(self, adapter: Adapter) -> list[str]:
        return list(obligations_of(adapter.license, adapter.base.license if adapter.base else ""))

    def get_examples(self, adapter: Adapter) -> list[dict[str, Any]]:
        examples = selectors.examples_of(user=self.context["user"], adapter=adapter)
        return list(ExampleSerializer(examples, many=True).data)

    def get_files(self, adapter: Adapter) -> list[dict[str, Any]]:
        files = selectors.files_of(adapter.current) if adapter.current else []
        return list(VersionFileSerializer(files, many=True).data)

    def get_fits(self, adapter: Adapter) -> list[str]:
        return [base.name for base in fits_of(adapter.current.artifact if adapter.current else None)]

    def get_lineage(self, adapter: Adapter) -> dict[str, Any]:
        found = selectors.lineage_of(user=self.context["user"], adapter=adapter)
        rows = {
            "parents": [_edge(edge, edge.parent) for edge in found["parents"]],
            "hidden_parents": found["hidden_parents"],
            "children": [_edge(edge, edge.child) for edge in found["children"]],
        }
        return dict(LineageSerializer(rows).data)


def _edge(edge: Lineage, version: Version) -> dict[str, Any]:
    return {
        "adapter": version.adapter.full_name,
        "deleted": version.adapter.deleted_at is not None,
        "commit": version.commit,
        "weight": edge.weight,
        "operation": edge.operation,
    }


class _AdapterFields(serializers.Serializer[Any]):
    title = serializers.CharField(max_length=MAX_TITLE, required=False, allow_blank=True)
    description = serializers.CharField(max_length=MAX_DESCRIPTION, required=False, allow_blank=True)
    license = serializers.CharField(
        max_length=60, required=False, allow_blank=True, help_text="SPDX identifier, or `other`."
    )
    tags = serializers.ListField(child=serializers.CharField(max_length=40), required=False, max_length=MAX_TAGS)
    prompt_format = PromptFormatSerializer(required=False)
    examples = ExampleSerializer(many=True, required=False, max_length=MAX_EXAMPLES)
    visibility = serializers.ChoiceField(choices=Adapter.Visibility.choices, required=False)
    base = serializers.CharField(
        max_length=300, required=False, allow_blank=True, help_text="Which base it is; `-` for none of those here."
    )


class PublishSerializer(_AdapterFields):
    """Publish an upload under a name; `private` unless told."""

    upload = serializers.UUIDField()
    name = serializers.CharField(max_length=96)


class EditSerializer(_AdapterFields):
    """Fields that are left out stay as they are."""

    message = serializers.CharField(max_length=300, required=False, default="", allow_blank=True)


class NewVersionSerializer(serializers.Serializer[Any]):
    upload = serializers.UUIDField()
    message = serializers.CharField(max_length=300, required=False, default="", allow_blank=True)


class SearchHitSerializer(AdapterSerializer):
    """A result: the adapter, and why it matched."""

    why = serializers.ListField(child=serializers.CharField())
    similarity = serializers.FloatField(
        allow_null=True, help_text="Cosine to the query; null where meaning did not count."
    )

    class Meta(AdapterSerializer.Meta):
        fields = [*AdapterSerializer.Meta.fields, "why", "similarity"]


class FacetSerializer(serializers.Serializer[Any]):
    value = serializers.CharField()
    count = serializers.IntegerField()


class SearchPageSerializer(serializers.Serializer[Any]):
    results = SearchHitSerializer(many=True)
    next = serializers.URLField(allow_null=True)
    mode = serializers.ChoiceField(choices=["meaning_and_words", "words", "browse"])
    note = serializers.CharField(help_text="A sentence when something did not answer, else empty.")
    total = serializers.IntegerField()
    facets = serializers.DictField(child=FacetSerializer(many=True))


class SimilarSerializer(serializers.Serializer[Any]):
    adapter = AdapterSerializer()
    meaning = serializers.FloatField(allow_null=True, help_text="Cosine of the descriptions.")
    weights = serializers.FloatField(allow_null=True, help_text="Cosine of the signatures of Δ = B·A.")
    near_duplicate = serializers.BooleanField()
