use meseta_crds::Quantity;
use meseta_mesos_wire::v1;
use meseta_mesos_wire::v1::resource::{DiskInfo, ReservationInfo, RevocableInfo, SharedInfo};
use meseta_mesos_wire::v1::value::{Range, Ranges, Set};

use super::*;

fn scalar(name: &str, value: f64) -> Resource {
    Resource {
        name: name.to_owned(),
        r#type: Type::Scalar.into(),
        scalar: Some(Scalar { value }),
        ..Resource::default()
    }
}

fn ranges(of: &[(u64, u64)]) -> Resource {
    let range = of.iter().map(|(begin, end)| Range { begin: *begin, end: *end }).collect();
    Resource {
        name: "ports".to_owned(),
        r#type: Type::Ranges.into(),
        ranges: Some(Ranges { range }),
        ..Resource::default()
    }
}

fn list(entries: &[(&str, &str)]) -> ResourceList {
    entries.iter().map(|(name, text)| ((*name).to_owned(), Quantity::new(*text))).collect()
}

#[track_caller]
fn refused(resource: Resource, gist: &str) {
    let fault = read(&[resource], "*").expect_err(gist);
    assert!(fault.contains(gist), "{fault}");
}

#[test]
fn names_and_units_are_translated() {
    let ours = list(&[
        ("cpu", "1500m"),
        ("memory", "1Gi"),
        ("disk", "10Mi"),
        ("gpu", "2"),
        ("a.b/c", "3"),
    ]);
    let amounts = Amounts::of_list(&ours);
    assert_eq!(amounts.to_string(), "a.b/c:3; cpus:1.5; disk:10; gpus:2; mem:1024");
    let back = amounts.to_list();
    for (name, quantity) in &ours {
        assert_eq!(back[name].millis(), quantity.millis(), "{name}");
    }
}

#[test]
fn what_is_offered_is_what_can_be_asked_for() {
    for text in ["1", "1048", "1049", "1048576", "33554433", "123456789012", "1Gi", "0"] {
        for name in ["memory", "disk"] {
            let ours = list(&[(name, text)]);
            let offered = Amounts::of_list(&ours);
            let asked = offered.to_list();
            let amount = |list: &ResourceList| list.get(name).map_or(0, |q| q.units().unwrap());
            assert!(amount(&asked) <= amount(&ours), "{name} {text}");
            assert_eq!(Amounts::of_list(&asked), offered, "and it is stable");
        }
    }
}

#[test]
fn scalars_are_rounded_to_thousandths() {
    let read = |value| read(&[scalar("cpus", value)], "*").map(|amounts| amounts.get("cpus"));
    assert_eq!(read(0.1 + 0.2), Ok(300));
    assert_eq!(read(1.0004), Ok(1000));
    assert_eq!(read(1.0006), Ok(1001));
    assert_eq!(read(0.0), Ok(0), "allowed, and ignored");
    assert_eq!(read(-0.0), Ok(0));
    for (value, gist) in [
        (0.0004, "too small"),
        (-1.0, "value < 0"),
        (f64::NAN, "not finite"),
        (f64::INFINITY, "not finite"),
        (1e300, "too large"),
    ] {
        assert!(read(value).unwrap_err().contains(gist), "{value}");
    }
}

#[test]
fn resources_of_one_name_add_up() {
    let amounts = read(&[scalar("mem", 32.0), scalar("cpus", 0.5), scalar("mem", 0.5)], "*");
    assert_eq!(amounts.unwrap().to_string(), "cpus:0.5; mem:32.5");
}

#[test]
fn a_resource_has_a_name_and_exactly_the_value_of_its_type() {
    refused(scalar("", 1.0), "Empty resource name");
    refused(Resource { scalar: None, ..scalar("cpus", 1.0) }, "exactly its scalar");
    refused(Resource { set: Some(Set::default()), ..scalar("cpus", 1.0) }, "exactly its scalar");
    refused(Resource { scalar: Some(Scalar::default()), ..ranges(&[]) }, "exactly its ranges");
    refused(
        Resource { r#type: Type::Text.into(), ..scalar("a", 1.0) },
        "Unsupported resource type",
    );
    refused(Resource { r#type: 99, ..scalar("a", 1.0) }, "Unsupported resource type");
}

#[test]
fn ranges_are_checked_and_not_supported() {
    refused(ranges(&[(2, 1)]), "begin 2 > end 1");
    refused(ranges(&[(5, 6), (1, 5)]), "overlapping");
    refused(ranges(&[(1, 2), (4, 5)]), "not supported");
    assert_eq!(read(&[ranges(&[])], "*"), Ok(Amounts::default()), "nothing is asked for");
}

#[test]
fn gpus_are_whole() {
    assert!(read(&[scalar("gpus", 2.0)], "*").is_ok());
    let fault = read(&[scalar("gpus", 0.5)], "*").unwrap_err();
    assert!(fault.contains("'gpus' resource must be an unsigned integer"), "{fault}");
}

#[test]
fn what_there_is_no_room_for_is_refused_by_name() {
    let reservation = ReservationInfo { role: Some("a".to_owned()), ..Default::default() };
    let cpus = || scalar("cpus", 1.0);
    for (resource, gist) in [
        (Resource { role: Some("a".to_owned()), ..cpus() }, "reservations"),
        (Resource { reservations: vec![reservation], ..cpus() }, "reservations"),
        (
            Resource {
                role: Some("a".to_owned()),
                reservation: Some(ReservationInfo::default()),
                ..cpus()
            },
            "reservations",
        ),
        (
            Resource { reservation: Some(ReservationInfo::default()), ..cpus() },
            "role \"*\" cannot be dynamically reserved",
        ),
        (Resource { role: Some("/".to_owned()), ..cpus() }, "slash"),
        (Resource { revocable: Some(RevocableInfo {}), ..cpus() }, "revocable resources"),
        (Resource { shared: Some(SharedInfo {}), ..cpus() }, "shared resources"),
        (Resource { disk: Some(Box::new(DiskInfo::default())), ..cpus() }, "DiskInfo"),
        (
            Resource { disk: Some(Box::new(DiskInfo::default())), ..scalar("disk", 1.0) },
            "persistent volumes",
        ),
        (
            Resource {
                provider_id: Some(v1::ResourceProviderId { value: "p".to_owned() }),
                ..cpus()
            },
            "resource providers",
        ),
    ] {
        refused(resource, gist);
    }
}

#[test]
fn both_formats_of_an_unreserved_resource_are_read() {
    let old = Resource { role: Some("*".to_owned()), ..scalar("cpus", 1.0) };
    let new = Resource { role: None, ..scalar("cpus", 1.0) };
    assert_eq!(read(&[old], "a"), read(&[new], "a"));
}

#[test]
fn a_resource_is_allocated_to_the_role_of_the_offer() {
    let allocated =
        |role| Resource { allocation_info: Some(allocation(role)), ..scalar("mem", 1.0) };
    assert!(read(&[allocated("a"), scalar("cpus", 1.0)], "a").is_ok());
    assert!(read(&[allocated("b")], "a").unwrap_err().contains("role 'b'"));
}

#[test]
fn an_offer_has_the_format_that_the_framework_understands() {
    let amounts = Amounts::of_list(&list(&[("cpu", "1")]));
    let only = |capabilities| write(&amounts, capabilities, "eng").remove(0);
    let plain = only(Capabilities::default());
    assert_eq!(plain.role.as_deref(), Some("*"), "explicitly");
    assert_eq!(plain.allocation_info, None);
    let multi = only(Capabilities { multi_role: true, ..Capabilities::default() });
    assert_eq!(multi.allocation_info, Some(allocation("eng")));
    let refined = only(Capabilities { reservation_refinement: true, ..Capabilities::default() });
    assert_eq!(refined.role, None);
    assert_eq!(read(&[plain, multi, refined], "eng").unwrap().get("cpus"), 3000);
}

#[test]
fn parts_are_contained_and_can_be_taken_away() {
    let all = Amounts::of_list(&list(&[("cpu", "2"), ("memory", "64Mi")]));
    let part = Amounts::of_list(&list(&[("cpu", "2")]));
    let other = Amounts::of_list(&list(&[("gpu", "1")]));
    assert!(all.contains(&part) && all.contains(&Amounts::default()) && !all.contains(&other));
    let mut left = all.clone();
    left.subtract(&part);
    assert_eq!(left.to_string(), "mem:64");
    left.subtract(&other);
    left.add(&part);
    assert_eq!(left, all);
    assert_eq!(Amounts::default().to_string(), "{}");
}
