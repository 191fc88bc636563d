"""Settings: from modules, from the environment, refused when wrong."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path

import pytest

import lepton_celery
from lepton_celery.config import RENAMED, Settings, load_settings, settings_from
from lepton_celery.errors import InputError
from lepton_celery.priority import LANES
from lepton_celery.tenants import Terms, check_owner, terms_of

MODULES = sorted(p.stem for p in Path("settings").glob("*.py") if p.stem not in ("__init__", "flower"))


def test_settings_modules_exist() -> None:
    assert {"base", "local", "production", "test"} <= set(MODULES)


@pytest.mark.parametrize("name", MODULES)
def test_every_settings_module_loads(name: str) -> None:
    settings = load_settings({"LEPTON_SETTINGS": name})
    assert settings.broker_url.startswith("redis://")
    assert settings.lease_s > settings.sweep_s > 0
    assert settings.visibility_timeout_s > settings.lease_s


def test_without_a_module_the_defaults_hold() -> None:
    assert load_settings({}) == Settings()
    assert load_settings({"PATH": "/bin", "HOME": "/"}) == Settings()


def test_the_environment_wins_over_the_module() -> None:
    settings = load_settings({"LEPTON_SETTINGS": "local", "LEPTON_LEASE_S": "99", "LEPTON_BROKER_URL": "redis://x/1"})
    assert settings.lease_s == 99.0
    assert settings.broker_url == "redis://x/1"
    assert settings.sweep_s == 2.0


def test_every_setting_can_be_given_in_the_environment_in_its_own_type() -> None:
    for item in fields(Settings):
        if item.name in ("tenants", "log_format"):
            continue  # their form is checked
        text = {int: "7", float: "7.5", str: "seven", bool: "0", tuple: "/first-folder:/second-folder"}[
            type(item.default)
        ]
        value = getattr(settings_from({}, {f"LEPTON_{item.name.upper()}": text}), item.name)
        assert type(value) is type(item.default)
        assert value in (
            7,
            7.5,
            "seven",
            False,
            ("/first-folder", "/second-folder"),
            ("/first-folder:/second-folder",),
        )  # functions contain a colon; they and secret keys are separated by commas


def test_empty_means_no_roots() -> None:
    assert settings_from({}, {"LEPTON_ALLOWED_ROOTS": ""}).allowed_roots == ()


def test_backend_and_ledger_fall_back_to_the_broker() -> None:
    plain = Settings(broker_url="redis://a/0")
    assert (plain.backend, plain.ledger) == ("redis://a/0", "redis://a/0")
    split = Settings(broker_url="amqp://a", result_backend="redis://b/0")
    assert (split.backend, split.ledger) == ("redis://b/0", "redis://b/0")
    assert Settings(result_backend="redis://b/0", ledger_url="redis://c/0").ledger == "redis://c/0"


def test_unknown_names_are_refused_with_those_there_are() -> None:
    with pytest.raises(InputError, match=r"^leese_s is not a setting; there are .*lease_s"):
        settings_from({"leese_s": 3}, {})
    with pytest.raises(InputError, match=r"LEPTON_LEESE_S is not a setting; there are .*LEPTON_LEASE_S"):
        settings_from({}, {"LEPTON_LEESE_S": "3"})


@pytest.mark.parametrize(("old", "new"), RENAMED.items())
def test_the_old_name_of_a_setting_works_for_a_release_and_says_so(old: str, new: str) -> None:
    with pytest.warns(DeprecationWarning, match=f"^{old} is called {new} since 0.1; release 0.2 removes the old name$"):
        assert getattr(settings_from({old: 7}, {}), new) == 7
    variable, current = f"LEPTON_{old.upper()}", f"LEPTON_{new.upper()}"
    with pytest.warns(DeprecationWarning, match=f"^{variable} is called {current} since 0.1"):
        assert getattr(settings_from({new: 5}, {variable: "7"}), new) == 7


def test_old_names_are_removed_in_the_announced_release() -> None:
    assert lepton_celery.__version__.startswith("0.1."), "remove RENAMED and this test"


@pytest.mark.parametrize(
    ("variable", "text", "kind"),
    [("LEPTON_MAX_ATTEMPTS", "3.5", "a whole number"), ("LEPTON_LEASE_S", "soon", "a number")],
)
def test_values_of_another_type_are_refused(variable: str, text: str, kind: str) -> None:
    with pytest.raises(InputError, match=f"{variable}='{text}' is not {kind}; correct or unset it"):
        settings_from({}, {variable: text})


def test_variables_of_the_launcher_are_no_settings() -> None:
    assert settings_from({}, {"LEPTON_SETTINGS": "local", "LEPTON_STATE": "x", "LEPTON_MIN": "1"}) == Settings()


@pytest.mark.parametrize("name", ["nowhere", "os.path", "../local", "local production"])
def test_a_module_that_is_not_there_is_refused(name: str) -> None:
    with pytest.raises(InputError, match="LEPTON_SETTINGS"):
        load_settings({"LEPTON_SETTINGS": name})


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("LEPTON_BROKER_URL", "redis://:change-me@127.0.0.1:6379/0"),
        ("LEPTON_BROKER_URL", "amqp://lepton:Change_Me@rabbit//"),
        ("LEPTON_RESULT_BACKEND", "rediss://:changeme@host/0?ssl_cert_reqs=none"),
        ("LEPTON_LEDGER_URL", "redis://me:change%2Dme@host"),
        ("LEPTON_FLOWER_AUTH", "admin:change-me"),
    ],
)
def test_passwords_of_examples_are_refused_with_what_to_do(variable: str, value: str) -> None:
    with pytest.raises(InputError, match=rf"{variable} has the password '[^']+' of an example.*openssl rand"):
        settings_from({}, {variable: value})
    other = settings_from({}, {variable: re.sub("(?i)change(-|_|%2D)?me", "4f0c9d2ab1", value)})
    assert "4f0c9d2ab1" in getattr(other, variable.removeprefix("LEPTON_").lower())


def test_secrets_are_not_shown() -> None:
    shown = repr(Settings(broker_url="redis://:hunter2@x", flower_auth="me:hunter3", ledger_url="redis://:hunter4@x"))
    assert "hunter" not in shown


def test_lanes_are_in_order_of_urgency() -> None:
    assert LANES == ("interactive", "default", "batch")


def test_an_owner_is_a_printable_text() -> None:
    for name in ("", "ada", "Ada Ü. <ada@example.org>", "李 明", "x" * 128):
        assert check_owner(name) == name
    for wrong in ("x" * 129, "a\nb", "\x1b[31m", "a\u202eb", "\udcff", 7):
        with pytest.raises(InputError, match=r"owner .*; give a text of up to 128 characters"):
            check_owner(wrong)


def test_terms_of_tenants_are_given_as_weight_and_slots() -> None:
    assert terms_of(settings_from({}, {"LEPTON_TENANTS": "lab:3,web:0.5:2,*:1:8"}).tenants) == {
        "lab": Terms(3.0),
        "web": Terms(0.5, 2),
        "*": Terms(1.0, 8),
    }
    for wrong in ("lab", "lab:0", "lab:x", "lab:1:-1", "lab:1:2:3", ":1:2:3", "a b:1", "lab:nan", "lab:1e9"):
        with pytest.raises(InputError, match=r"tenants has the entry|tenant '"):
            settings_from({}, {"LEPTON_TENANTS": wrong})


def test_settings_without_an_effect_are_accepted_with_a_warning() -> None:
    with pytest.warns(DeprecationWarning, match="LEPTON_WAVE_BATCHES has no effect"):
        settings_from({}, {"LEPTON_WAVE_BATCHES": "4"})
