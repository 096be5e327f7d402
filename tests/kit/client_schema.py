"""What a real client's JSON decoder takes, field by field: the model client's strictness.

It shares nothing with `frontends/wire/tailcfg`, so that a wrong name there does not pass here. Two things are
stricter than the client: a name that tailcfg does not know is a slip of ours, and what only old clients crash on is
wrong for all. Names and types: tailscale tailcfg, v1.102.3.
"""

from typing import Any, Final

from tests.kit.go_json import (
    Fields,
    address,
    anything,
    boolean,
    decimal,
    each,
    endpoint,
    every,
    identity,
    integer,
    ip_set,
    key,
    must,
    named,
    number,
    octets,
    one_address,
    port,
    prefix,
    record,
    some_text,
    source,
    text,
    time,
)

RESOLVER: Final = record(
    {"Addr": some_text, "BootstrapResolution": every(address), "UseWithExitNode": boolean}, "Addr"
)
CAP_MAP: Final = each(every(anything), keys=some_text, null=True)
NET_INFO: Final = record(
    {
        **named(
            boolean,
            "MappingVariesByDestIP WorkingIPv6 OSHasIPv6 WorkingUDP WorkingICMPv4 HavePortMap UPnP PMP PCP",
        ),
        "PreferredDERP": integer,
        "LinkType": text,
        "DERPLatency": each(number),
        "FirewallMode": text,
    }
)
HOSTINFO: Final = record(
    {
        **named(
            text,
            """IPNVersion FrontendLogID BackendLogID OS OSVersion Env Distro DistroVersion DistroCodeName App Package
            DeviceModel PushDeviceToken Hostname Machine GoArch GoArchVar GoVersion Cloud ServicesHash ExitNodeID""",
        ),
        **named(
            boolean,
            """Container Desktop ShieldsUp ShareeNode NoLogsNoSupport RemoteConfig WireIngress IngressEnabled
            AllowsUpdate Userspace UserspaceRouter AppConnector PeerRelay StateEncrypted""",
        ),
        "RoutableIPs": every(prefix),
        **named(every(text), "RequestTags WoLMACs sshHostKeys"),
        "Services": every(record({"Proto": text, "Port": port, "Description": text})),
        "NetInfo": NET_INFO,
        "Location": record(
            {
                **named(some_text, "Country CountryCode City CityCode"),
                **named(number, "Latitude Longitude"),
                "Priority": integer,
            },
            "Country",
            "CountryCode",
        ),
        "TPM": anything,
    }
)
_PATCHED: Final[Fields] = {
    "Cap": integer,
    "CapMap": CAP_MAP,
    "Endpoints": every(endpoint),
    "Key": key("nodekey:"),
    "KeySignature": octets,
    "DiscoKey": key("discokey:"),
    "Online": boolean,
    "LastSeen": time,
    "KeyExpiry": time,
}
NODE: Final = record(
    {
        **_PATCHED,
        "ID": identity,
        "StableID": some_text,
        "Name": some_text,
        "User": identity,
        "Sharer": integer,
        "Machine": key("mkey:"),
        "Addresses": every(one_address),
        "AllowedIPs": every(prefix),
        "PrimaryRoutes": every(prefix),
        "DERP": endpoint,
        "HomeDERP": integer,
        "Hostinfo": HOSTINFO,
        "Created": time,
        "Tags": every(some_text),
        **named(boolean, "MachineAuthorized Expired UnsignedPeerAPIOnly IsWireGuardOnly IsJailed"),
        "SelfNodeV4MasqAddrForThisPeer": address,
        "SelfNodeV6MasqAddrForThisPeer": address,
        "ExitNodeDNSResolvers": every(RESOLVER),
    },
    *("ID", "StableID", "Name", "User", "Key", "Addresses"),
)
PATCH: Final = record({**_PATCHED, "NodeID": identity, "DERPRegion": integer}, "NodeID")
PORTS: Final = record({"First": port, "Last": port}, "First", "Last")
RULE: Final = record(
    {
        "SrcIPs": every(source),
        "DstPorts": every(record({"IP": ip_set, "Ports": PORTS}, "IP", "Ports")),
        "IPProto": every(integer),
        "CapGrant": every(
            record(
                {"Dsts": every(prefix), "CapMap": each(every(anything), null=True), "Caps": every(text)},
                "Dsts",
            )
        ),
    },
    "SrcIPs",
)
DNS: Final = record(
    {
        **named(every(RESOLVER), "Resolvers FallbackResolvers"),
        "Routes": each(every(RESOLVER), null=True),
        **named(every(some_text), "Domains CertDomains ExitNodeFilteredSet"),
        "Proxied": boolean,
        "ExtraRecords": every(record({"Name": some_text, "Type": text, "Value": some_text}, "Name", "Value")),
    }
)


def _full(value: Any) -> None:
    must(isinstance(value, list) and value, "a region without nodes: clients of 1.70 crash")


def regions(value: Any) -> None:
    each(REGION, keys=decimal)(value)
    for number_, region in value.items():
        _full(region.get("Nodes"))
        ids = {region["RegionID"], *(node["RegionID"] for node in region["Nodes"])}
        must(ids == {int(number_)}, f"region {number_} has another id inside")


REGION: Final = record(
    {
        "RegionID": identity,
        **named(text, "RegionCode RegionName"),
        **named(number, "Latitude Longitude"),
        **named(boolean, "Avoid NoMeasureNoHome"),
        "Nodes": every(
            record(
                {
                    **named(text, "Name HostName CertName IPv4 IPv6 STUNTestIP"),
                    **named(integer, "RegionID STUNPort DERPPort"),
                    **named(boolean, "STUNOnly InsecureForTests CanPort80"),
                },
                *("Name", "HostName", "RegionID"),
            )
        ),
    },
    *("RegionID", "Nodes"),
)
DERP_MAP: Final = record(
    {
        "Regions": regions,
        "omitDefaultRegions": boolean,
        "HomeParams": record({"RegionScore": each(number, keys=decimal)}),
    }
)
SSH_ACTION: Final = record(
    {
        **named(text, "message holdAndDelegate"),
        **named(
            boolean, "reject accept allowAgentForwarding allowLocalPortForwarding allowRemotePortForwarding"
        ),
        "sessionDuration": integer,
        "recorders": every(endpoint),
        "onRecordingFailure": record(
            named(text, "RejectSessionWithMessage TerminateSessionWithMessage NotifyURL")
        ),
    }
)
SSH: Final = record(
    {
        "rules": every(
            record(
                {
                    "ruleExpires": time,
                    "principals": every(record({**named(text, "node nodeIP userLogin"), "any": boolean})),
                    "sshUsers": each(text),
                    "action": SSH_ACTION,
                    "acceptEnv": every(text),
                },
                *("principals", "sshUsers", "action"),
            )
        )
    },
    "rules",
)
MESSAGE: Final = record(
    {
        **named(text, "Title Text Severity"),
        "ImpactsConnectivity": boolean,
        "PrimaryAction": record(named(text, "URL Label")),
    },
    *("Title", "Text", "Severity"),
)
RESPONSE: Final = record(
    {
        **named(boolean, "KeepAlive CollectServices DefaultAutoUpdate"),
        **named(text, "PopBrowserURL Domain MapSessionHandle DomainDataPlaneAuditLogID"),
        "Seq": integer,
        "PingRequest": record(
            {
                **named(text, "URL Types IP"),
                **named(boolean, "URLIsNoise Log"),
                "Payload": octets,
            },
            "URL",
        ),
        "Node": NODE,
        "DERPMap": DERP_MAP,
        **named(every(NODE), "Peers PeersChanged"),
        "PeersRemoved": every(identity),
        "PeersChangedPatch": every(PATCH),
        **named(each(boolean, keys=decimal), "OnlineChange PeerSeenChange"),
        "DNSConfig": DNS,
        "PacketFilter": every(RULE),
        "PacketFilters": each(every(RULE), null=True),
        "UserProfiles": every(
            record({"ID": identity, **named(text, "LoginName DisplayName ProfilePicURL")}, "ID", "LoginName")
        ),
        "Health": every(text),
        "DisplayMessages": each(MESSAGE, null=True),
        "SSHPolicy": SSH,
        "ControlTime": time,
        "TKAInfo": record({"Head": text, "Disabled": boolean}),
        "Debug": record({"SleepSeconds": number, "DisableLogTail": boolean}),
        "ControlDialPlan": record({"Candidates": anything}),
        "ClientVersion": anything,
    }
)
