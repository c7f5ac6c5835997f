#!/bin/bash
# If something uses a network card, through any number of layers and in any network namespace, bind refuses it and
# names the losses.
. "${0%/*}/lib.sh"
. "${0%/*}/uses.sh"
. "${0%/*}/overlay.sh"
export TERM=dumb
# of uses.sh
# shellcheck disable=SC2034
subject=$NIC driver=e1000e

modprobe e1000e
eth=$(interface_of "$NIC")

has_interface() {
	[[ -d /sys/class/net/$eth ]]
}

# QEMU is a router of IPv6
for each in "$eth" default; do
	echo 0 >"/proc/sys/net/ipv6/conf/$each/accept_ra"
done
is "$(texts)" '' "nothing uses it"
ip link set "$eth" up
until_true 10 grep -q "$eth" /proc/net/if_inet6
is "$(texts)" "warning $eth is up: after unbind it is down, in no bridge or bond, and without addresses and routes" \
	"to be up is no use, but is said"

diag "addresses and routes"
ip address add 10.9.0.2/24 dev "$eth"
refuses "an address" "$eth has the address 10.9.0.2 " "ip address flush dev $eth"
ip route add default via 10.9.0.1
refuses "the default route" "$eth carries the default route .*1 more"
ip route del default
ip route add 10.8.0.0/16 via 10.9.0.1
like "$(texts)" "problem $eth carries the route to 10.8.0.0/16: bind needs --force" "another route is said, too"
ip route add 10.7.0.0/16 via 10.9.0.1
like "$(texts)" "problem $eth carries 2 routes, such as that to 10\.[78]\.0\.0/16: bind needs --force" "and two of them"
ip address flush dev "$eth"
is "$(texts | grep -c problem)" 0 "without them it is free"
ip address add 2001:db8::2/64 dev "$eth" nodad
refuses "an address of IPv6" "$eth has the address 2001:db8::2 "
ip -6 route add default via 2001:db8::1
refuses "its default route" "$eth carries the default route"
ip -6 route del default
ip address flush dev "$eth"
ip link set "$eth" up
# without an address of its own, beside another interface, and in a table of its own
modprobe bridge
ip link add br8 type bridge
ip link set br8 up
ip route add default table 7 nexthop dev br8 nexthop dev "$eth"
refuses "one of two ways of a default route" "$eth carries the default route"
ip route del default table 7
ip link del br8

diag "what takes frames without an address"
ip link set "$eth" up
# takes SOCKET...: a program has such a socket, as perl makes it, while the rest is done
takes() {
	perl -e "$1 or die; \$| = 1; print qq(\n); sleep 300" >/tmp/taker &
	taker=$!
	shift
	succeeds "it has a socket" until_true 20 test -s /tmp/taker
	"$@"
	kill $taker
	wait $taker 2>/dev/null
	rm /tmp/taker
}
# capture PROTOCOL INDEX: AF_PACKET, SOCK_RAW; struct sockaddr_ll
capture() {
	echo "socket(S, 17, 3, 0) && bind(S, pack('S n i x12', 17, $1, $2))"
}
captured() {
	refuses "a capture" "$eth is captured by perl\\[$taker\\] " "kill $taker"
}
free() {
	is "$(texts)" "$up" "$1"
}
up=$(texts)
index=$(<"/sys/class/net/$eth/ifindex")
takes "$(capture 0x0003 "$index")" captured
takes "$(capture 0x0003 0)" free "who captures all interfaces does not capture this one"
takes "\$0 = 'dhclient'; $(capture 0x0003 "$index")" free "a DHCP client, which filters them, captures nothing"
takes "$(capture 0x88cc "$index")" free "who waits for one protocol, as for LLDP, captures nothing"
takes "$(capture 0x88a4 "$index")" refuses "EtherCAT" "$eth gives its frames of type 0x88a4 to perl\\["
takes "$(capture 0x0003 1)" free "nor does who captures another interface"
xdp "$eth" 2>/tmp/said
status=$?
if ((status == 3)); then
	skip "XDP" "this kernel has no bpf()"
else
	is "$status $(</tmp/said)" "0 " "the card has an XDP program"
	refuses "XDP" "$eth has an XDP program " "ip link set $eth xdpgeneric off"
	ip link set "$eth" xdpgeneric off
	free "without it the card is free"
fi
rm /tmp/said
if modprobe pppoe 2>/dev/null; then
	# AF_PPPOX, SOCK_STREAM, PX_PROTO_OE; struct sockaddr_pppox, which is packed
	carried() {
		refuses "PPPoE" "$eth carries a PPPoE session of perl\\[$taker\\] " "kill $taker"
	}
	takes "socket(S, 24, 1, 0) && connect(S, pack('S L n a6 a16', 24, 0, 1, qq(\\x02abcde), '$eth'))" carried
	free "after its end the card is free"
else
	skip "PPPoE" "this kernel has none"
fi
modprobe -a sch_ingress cls_matchall act_mirred veth
ip link add veth7 type veth peer name veth6
tc qdisc add dev "$eth" clsact
free "a qdisc without filters takes no frames"
for way in ingress egress; do
	tc filter add dev "$eth" $way matchall action mirred egress mirror dev veth7
	refuses "a filter of tc, $way" "$eth has filters of tc " "tc filter show dev $eth ingress; .*"
	tc filter del dev "$eth" $way
done
tc qdisc del dev "$eth" clsact
tc qdisc add dev veth7 ingress
tc filter add dev veth7 ingress matchall action mirred egress redirect dev veth6
free "what is redirected elsewhere is not redirected to it"
tc filter add dev veth7 ingress matchall action mirred egress redirect dev "$eth"
refuses "a redirection" "tc redirects or mirrors frames to $eth " "tc actions list action mirred"
ip link del veth7
modprobe netconsole
mount -t configfs configfs /sys/kernel/config 2>/dev/null
target=/sys/kernel/config/netconsole/test
mkdir $target
echo "$eth" >$target/dev_name
echo 10.9.0.2 >$target/local_ip
echo 10.9.0.1 >$target/remote_ip
free "a target of netconsole that is not enabled sends nothing"
echo 1 >$target/enabled
refuses "netconsole" "$eth sends the kernel's log \\(netconsole\\) " "echo 0 >$target/enabled"
echo 0 >$target/enabled
rmdir $target
umount /sys/kernel/config 2>/dev/null
modprobe -r netconsole
more 'block/etherd!e0.0/netif' "eth99 $eth"
over /sys/class refuses "a disk of ATA over Ethernet" "$eth leads to the disk etherd!e0.0 "
free "in the end it is free"

diag "layers"
modprobe -a 8021q macvlan
modprobe bonding max_bonds=0
ip link add br9 type bridge
ip link set "$eth" master br9
refuses "a bridge" "$eth is in the bridge br9 " "ip link set $eth nomaster"
ip link add link br9 name br9.5 type vlan id 5
ip link set br9 up
ip link set br9.5 up
ip address add 10.9.5.2/24 dev br9.5
ip route add default via 10.9.5.1
refuses "a VLAN of the bridge" "br9.5 carries the default route \\($eth -> br9 -> br9.5 -> default route\\) .*3 more"
is "$(said '[.checks[] | select(.check == "use" and .state == "problem")] | length' doctor "$NIC")" 4 "doctor has all"
ip link del br9.5
ip link del br9
ip link set "$eth" down
ip link add bond9 type bond
ip link set "$eth" master bond9
refuses "a bond" "$eth is in the bond bond9 " "ip link set $eth nomaster"
ip link del bond9
ip link add link "$eth" name mac9 type macvlan
refuses "a macvlan" "mac9 is on top of $eth " "ip link delete mac9"

diag "other network namespaces"
unshare --net sleep 300 &
sleeper=$!
until_true 10 grep -q sleep "/proc/$sleeper/comm"
ip link set mac9 netns $sleeper
refuses "a macvlan that a container was given" "mac9, .*, is in the network namespace of sleep\\[$sleeper\\]"
nsenter -t $sleeper -n ip link del mac9
ip netns add blue
ip link set "$eth" netns blue
refuses "a card that a container was given" "$eth is in the network namespace of (blue|sleep)"
ip -n blue address add 10.9.0.2/24 dev "$eth"
ip -n blue link set "$eth" up
ip -n blue route add default via 10.9.0.1
refuses "with a default route there" "$eth carries the default route in the network namespace of blue"
ip -n blue link set "$eth" netns 1
ip netns del blue
ip netns add red
exec 8</run/netns/red
ip link set "$eth" netns red
ip netns del red
refuses "a card in a namespace of an open file" "its interface is in a network namespace that no process here shows"
nsenter --net=/proc/self/fd/8 ip link set "$eth" netns 1
exec 8<&-
is "$(texts | grep -c "namespace")" 0 "here it is in none"
succeeds "a veth" ip link add veth9 type veth peer name veth8
ip link set veth8 netns $sleeper
is "$(texts | grep -c "namespace")" 0 "another one's interface there is not this one's"
ip link del veth9 2>/dev/null
# another one's card, which has this one's number there, and something on top of it
nsenter -t $sleeper -n ip link add name d9 index "$(<"/sys/class/net/$eth/ifindex")" type veth peer name d8 index 99
succeeds "a VLAN of another card" nsenter -t $sleeper -n ip link add link d9 name d9.5 type vlan id 5
is "$(texts | grep -c "namespace")" 0 "is not on top of this one, whatever its number"
kill $sleeper
wait $sleeper 2>/dev/null
rmdir /run/netns 2>/dev/null || umount /run/netns

diag "what --force loses is what it says"
ip address add 10.9.0.2/24 dev "$eth"
ip link set "$eth" up
output=$(flatiommu bind --force "$NIC")
is "$(driver_of "$NIC")" vfio-pci "--force binds it"
like "$(head -n 2 <<<"$output")" \
	"^warning: $NIC: forced, although $eth has the address 10.9.0.2.*$NIC: $eth is up: after unbind it is down" \
	"and says first what is lost"
flatiommu unbind "$NIC" >/dev/null
until_true 30 has_interface
is "$(ip -4 -o address show dev "$eth")" '' "it is back without its address"
is $(($(<"/sys/class/net/$eth/flags") & 1)) 0 "and down"
modprobe -r -a bonding macvlan 8021q bridge veth pppoe sch_ingress cls_matchall act_mirred 2>/dev/null
done_testing
