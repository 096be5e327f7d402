"""The one door: command → the module that decides it.

Rule 1: a decision is a function of (tailnet, command, given) alone, and changes nothing.
Rule 2: a refusal is raised; whatever else is raised is our own mistake.
Rule 3: who asks strictly is refused what would have warnings, all of which the refusal tells; no command is exempt.
Rule 4: pending logins are not of the log: approving and rejecting one is the application's.
"""

from engine.domain.apikeys import create_api_key, delete_api_key, expire_api_key
from engine.domain.authkeys import create_auth_key, expire_auth_key
from engine.domain.backends import remove_backend, set_backend, switch_peer
from engine.domain.bulk import add_connections
from engine.domain.commands import (
    AddConnection,
    AddConnections,
    AddSelector,
    AdvertiseNode,
    ApproveRoutes,
    Command,
    CreateApiKey,
    CreateAuthKey,
    CreateUser,
    DeleteApiKey,
    DeleteNode,
    DeleteUser,
    DisablePeer,
    DrainPeer,
    EnablePeer,
    ExpireApiKey,
    ExpireAuthKey,
    ExpireNode,
    ExpirePeer,
    LogOutNode,
    MovePeer,
    RecordExport,
    RegisterNode,
    RegisterPeer,
    RemoveBackend,
    RemoveConnection,
    RemovePeer,
    RemoveSelector,
    RenameNode,
    RenamePeer,
    ReportLookup,
    RevertPolicy,
    SetAutoUpdates,
    SetBackend,
    SetBaseDomain,
    SetDerpMap,
    SetDomains,
    SetMasqueradePool,
    SetNodeExpiry,
    SetPolicy,
    SetPools,
    SetResolvers,
    SetUserRole,
    SetWireGuardDns,
    SetWireGuardMode,
    SwitchPeer,
    TagNode,
    TagPeer,
    UndrainPeer,
    UpdateConnection,
    UpdatePeer,
)
from engine.domain.connections import add_connection, remove_connection, update_connection
from engine.domain.decision import Decision, Given
from engine.domain.dns import set_resolvers, set_wireguard_dns
from engine.domain.enrolment import (
    enrol_node,
    followed_up,
    report_failed,
    report_registered,
    report_revoked,
    withdraw_node,
)
from engine.domain.errors import Refusal
from engine.domain.exports import record_export, with_stale
from engine.domain.lookups import report_lookup
from engine.domain.masqpool import set_masquerade_pool
from engine.domain.nodes import delete_node, expire_node, rename_node, set_node_expiry
from engine.domain.offers import advertise_node
from engine.domain.peerlife import (
    drain_peer,
    move_peer,
    rename_peer,
    tag_peer,
    undrain_peer,
    update_peer,
)
from engine.domain.peers import disable_peer, enable_peer, expire_peer, register_peer, remove_peer
from engine.domain.policies import revert_policy, set_policy
from engine.domain.providercommands import (
    AddProvider,
    EnrolNode,
    RemoveProvider,
    ReportFailed,
    ReportRegistered,
    ReportRevoked,
    UpdateProvider,
    WithdrawNode,
)
from engine.domain.providers import add_provider, remove_provider, update_provider
from engine.domain.registration import log_out_node, register_node
from engine.domain.routes import approve_routes
from engine.domain.selectors import add_selector, kept_in_step, remove_selector
from engine.domain.settings import (
    set_auto_updates,
    set_base_domain,
    set_derp_map,
    set_domains,
    set_pools,
    set_wireguard_mode,
)
from engine.domain.state import Tailnet
from engine.domain.tags import tag_node
from engine.domain.users import create_user, delete_user, set_user_role


def decide(tailnet: Tailnet, command: Command, given: Given) -> Decision:
    """Return what happens when the command meets the tailnet as it is, with what that means for connections.

    Raises:
        Refusal: the answer is no; `strict`: it would be yes with warnings.
        TypeError: nobody decides such a command here (rule 4).
    """
    decision = with_stale(tailnet, kept_in_step(tailnet, _decide(tailnet, command, given), given))
    decision = followed_up(tailnet, decision, given)
    if given.strict and decision.warnings:
        raise Refusal(
            "strict",
            f"{len(decision.warnings)} warnings, and none is let pass: " + "; ".join(decision.warnings),
            hint="without strictness it would be done",
        )
    return decision


def _decide(tailnet: Tailnet, command: Command, given: Given) -> Decision:  # noqa: C901 (an arm for each command)
    match command:
        case RegisterNode():
            return register_node(tailnet, command, given)
        case LogOutNode():
            return log_out_node(tailnet, command, given)
        case AdvertiseNode():
            return advertise_node(tailnet, command, given)
        case AddConnection():
            return add_connection(tailnet, command, given)
        case AddConnections():
            return add_connections(tailnet, command, given)
        case UpdateConnection():
            return update_connection(tailnet, command)
        case RemoveConnection():
            return remove_connection(tailnet, command)
        case RegisterPeer():
            return register_peer(tailnet, command)
        case RemovePeer():
            return remove_peer(tailnet, command)
        case DisablePeer():
            return disable_peer(tailnet, command, given)
        case ExpirePeer():
            return expire_peer(tailnet, command, given)
        case EnablePeer():
            return enable_peer(tailnet, command)
        case CreateUser():
            return create_user(tailnet, command)
        case SetUserRole():
            return set_user_role(tailnet, command)
        case DeleteUser():
            return delete_user(tailnet, command)
        case CreateAuthKey():
            return create_auth_key(tailnet, command, given)
        case ExpireAuthKey():
            return expire_auth_key(tailnet, command)
        case CreateApiKey():
            return create_api_key(tailnet, command, given)
        case ExpireApiKey():
            return expire_api_key(tailnet, command)
        case DeleteApiKey():
            return delete_api_key(tailnet, command)
        case _:
            return _decide_node(tailnet, command, given)


def _decide_node(tailnet: Tailnet, command: Command, given: Given) -> Decision:
    match command:
        case ExpireNode():
            return expire_node(tailnet, command, given)
        case SetNodeExpiry():
            return set_node_expiry(tailnet, command, given)
        case RenameNode():
            return rename_node(tailnet, command)
        case TagNode():
            return tag_node(tailnet, command, given)
        case ApproveRoutes():
            return approve_routes(tailnet, command)
        case DeleteNode():
            return delete_node(tailnet, command)
        case _:
            return _decide_peer(tailnet, command, given)


def _decide_peer(tailnet: Tailnet, command: Command, given: Given) -> Decision:
    match command:
        case UpdatePeer():
            return update_peer(tailnet, command)
        case RenamePeer():
            return rename_peer(tailnet, command)
        case TagPeer():
            return tag_peer(tailnet, command)
        case MovePeer():
            return move_peer(tailnet, command)
        case DrainPeer():
            return drain_peer(tailnet, command)
        case UndrainPeer():
            return undrain_peer(tailnet, command)
        case SetMasqueradePool():
            return set_masquerade_pool(tailnet, command)
        case _:
            return _decide_pairs(tailnet, command, given)


def _decide_pairs(tailnet: Tailnet, command: Command, given: Given) -> Decision:
    match command:
        case AddSelector():
            return add_selector(tailnet, command)
        case RemoveSelector():
            return remove_selector(tailnet, command)
        case RecordExport():
            return record_export(tailnet, command)
        case _:
            return _decide_far_side(tailnet, command, given)


def _decide_far_side(tailnet: Tailnet, command: Command, given: Given) -> Decision:
    match command:
        case ReportLookup():
            return report_lookup(tailnet, command, given)
        case SetBackend():
            return set_backend(tailnet, command)
        case RemoveBackend():
            return remove_backend(tailnet, command)
        case SwitchPeer():
            return switch_peer(tailnet, command)
        case _:
            return _decide_provider(tailnet, command, given)


def _decide_provider(tailnet: Tailnet, command: Command, given: Given) -> Decision:
    match command:
        case AddProvider():
            return add_provider(tailnet, command)
        case UpdateProvider():
            return update_provider(tailnet, command)
        case RemoveProvider():
            return remove_provider(tailnet, command)
        case EnrolNode():
            return enrol_node(tailnet, command)
        case WithdrawNode():
            return withdraw_node(tailnet, command)
        case ReportRegistered():
            return report_registered(tailnet, command)
        case ReportFailed():
            return report_failed(tailnet, command, given)
        case ReportRevoked():
            return report_revoked(tailnet, command)
        case _:
            return _decide_tailnet(tailnet, command)


def _decide_tailnet(tailnet: Tailnet, command: Command) -> Decision:
    match command:
        case SetPolicy():
            return set_policy(tailnet, command)
        case RevertPolicy():
            return revert_policy(tailnet, command)
        case SetBaseDomain():
            return set_base_domain(tailnet, command)
        case SetPools():
            return set_pools(tailnet, command)
        case SetDerpMap():
            return set_derp_map(tailnet, command)
        case SetDomains():
            return set_domains(tailnet, command)
        case SetAutoUpdates():
            return set_auto_updates(tailnet, command)
        case _:
            return _decide_resolvers(tailnet, command)


def _decide_resolvers(tailnet: Tailnet, command: Command) -> Decision:
    match command:
        case SetWireGuardMode():
            return set_wireguard_mode(tailnet, command)
        case SetWireGuardDns():
            return set_wireguard_dns(tailnet, command)
        case SetResolvers():
            return set_resolvers(tailnet, command)
        case _:
            raise TypeError(f"{type(command).__name__} is not decided in the domain")
