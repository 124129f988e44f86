"""A pymesos scheduler that does what it is told, for the tests.

It prints one JSON object a line for each callback of pymesos, and takes one JSON object a line:
{"do": <method of the driver>, "args": [...]}. Options are one JSON object, the first argument:
`master`, `framework` (the FrameworkInfo), `principal`, `secret`, `explicit` (acknowledgements are
then the test's), and `accept`: a template of a task that is launched on every offer as often as it
fits, at most `accept.limit` times in all, under ids `<accept.prefix><n>`.
"""

import json
import logging
import sys
import threading

from pymesos import MesosSchedulerDriver, Scheduler

output = threading.Lock()


def tell(event, **fields):
    with output:
        print(json.dumps({"event": event, **fields}), flush=True)


class Log(logging.Handler):
    """What pymesos complains about, among the events."""

    def emit(self, record):
        tell("log", text=self.format(record))


def scalars(resources):
    return {r["name"]: r["scalar"]["value"] for r in resources if "scalar" in r}


class Told(Scheduler):
    def __init__(self, accept):
        self.accept = accept
        self.launched = 0

    def registered(self, driver, framework_id, master_info):
        tell("registered", framework_id=framework_id["value"])

    def reregistered(self, driver, master_info):
        tell("reregistered")

    def disconnected(self, driver):
        tell("disconnected")

    def resourceOffers(self, driver, offers):
        tell("offers", offers=offers)
        if self.accept:
            for offer in offers:
                self.fill(driver, offer)

    def fill(self, driver, offer):
        has = scalars(offer["resources"])
        needs = scalars(self.accept["task"]["resources"])
        # In thousandths, as Mesos counts.
        fits = min(round(has.get(name, 0) * 1000) // round(need * 1000) for name, need in needs.items())
        count = min(fits, self.accept["limit"] - self.launched)
        tasks = []
        for number in range(self.launched, self.launched + count):
            name = self.accept["prefix"] + str(number)
            tasks.append({**self.accept["task"], "name": name, "task_id": {"value": name},
                          "agent_id": offer["agent_id"]})
        self.launched += count
        filters = {"refuse_seconds": self.accept.get("refuse_seconds", 5.0)}
        driver.launchTasks(offer["id"], tasks, filters)

    def offerRescinded(self, driver, offer_id):
        tell("rescinded", offer_id=offer_id["value"])

    def statusUpdate(self, driver, update):
        tell("update", status=update)

    def frameworkMessage(self, driver, executor_id, slave_id, message):
        tell("message", executor_id=executor_id["value"], agent_id=slave_id["value"], data=message)

    def slaveLost(self, driver, slave_id):
        tell("agent_lost", agent_id=slave_id["value"])

    def executorLost(self, driver, executor_id, slave_id, status):
        tell("executor_lost", executor_id=executor_id["value"], agent_id=slave_id["value"], status=status)

    def error(self, driver, message):
        tell("error", message=message)


def main():
    logging.basicConfig(level=logging.WARNING, handlers=[Log()])
    options = json.loads(sys.argv[1])
    driver = MesosSchedulerDriver(
        Told(options.get("accept")), options["framework"], options["master"],
        implicit_acknowledgements=not options.get("explicit", False),
        principal=options.get("principal"), secret=options.get("secret"))
    driver.start()
    for line in sys.stdin:
        command = json.loads(line)
        try:
            getattr(driver, command["do"])(*command.get("args", []))
            tell("done", command=command["do"])
        except Exception as error:  # the test says whether that is right
            tell("failed", command=command["do"], error=str(error))
    driver.stop(failover=True)
    driver.join()


if __name__ == "__main__":
    main()
