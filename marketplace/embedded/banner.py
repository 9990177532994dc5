"""What the demo prints once it is ready."""

from __future__ import annotations

import json

from marketplace.embedded.address import Address
from marketplace.embedded.data_folder import DataFolder


def logins(folder: DataFolder) -> dict[str, str]:
    """User name -> password of the demo's accounts; empty before the demo data exists."""
    if not folder.passwords.exists():
        return {}
    found = json.loads(folder.passwords.read_text(encoding="utf-8"))
    return {str(name): str(password) for name, password in found.items()}


def banner(folder: DataFolder, address: Address, seconds: float, missing: list[str]) -> str:
    """The address, the logins and what to try first; ``missing`` names the parts that do not answer yet."""
    lines = ["", f"Brickyard is ready at {address.url} (started in {seconds:.1f} s)", ""]
    if missing:
        lines = ["", f"Brickyard runs at {address.url}, but does not answer yet: {', '.join(missing)}", ""]
    accounts = logins(folder)
    if accounts:
        width = max(len(name) for name in accounts)
        lines.append("Sign in as")
        lines += [f"  {name:<{width}}  {password}" for name, password in accounts.items()]
        lines += [f"  (kept in {folder.passwords})", ""]
    lines += [
        "Try first",
        f"  1. Search by meaning:  {address.url}/catalogue/",
        f"  2. Compare answers:    {address.url}/playground/",
        f"  3. Merge two adapters: {address.url}/combine/",
        f"  4. Upload your own:    {address.url}/upload/",
        "",
        f"Logs are in {folder.logs}; mail that the site sends appears in web.log. Ctrl-C stops everything.",
        "",
    ]
    return "\n".join(lines)
