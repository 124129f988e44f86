#!/usr/bin/env python3
"""A scheduler written for Mesos, with pymesos: counts to four, kills one task, and ends.

It asks for offers, launches one task on each offer that has room for it, waits until three have
finished, kills the fourth, which would run for ever, and leaves. Nothing in it knows of Meseta.

    PYTHONPATH=$(scripts/pymesos) python3 examples/mesos/scheduler.py 127.0.0.1:5050
"""

import logging
import sys
import threading

from pymesos import MesosSchedulerDriver, Scheduler

CPUS, MEM = 0.1, 32
COMMANDS = {
    "count-1": "echo one",
    "count-2": "echo two; sleep 1",
    "count-3": "echo three; sleep 2",
    "count-4": "echo four; sleep 1000000",
}


class Counter(Scheduler):
    def __init__(self):
        self.waiting = dict(COMMANDS)
        self.states = {}
        self.over = threading.Event()

    def registered(self, driver, framework_id, master_info):
        print("registered as", framework_id["value"], flush=True)

    def resourceOffers(self, driver, offers):
        for offer in offers:
            scalars = {r["name"]: r["scalar"]["value"] for r in offer["resources"] if "scalar" in r}
            room = min(int(scalars.get("cpus", 0) / CPUS), int(scalars.get("mem", 0) / MEM))
            tasks = []
            while self.waiting and len(tasks) < room:
                name, command = self.waiting.popitem()
                tasks.append({
                    "task_id": {"value": name},
                    "name": name,
                    "agent_id": offer["agent_id"],
                    "command": {"value": command},
                    "resources": [
                        {"name": "cpus", "type": "SCALAR", "scalar": {"value": CPUS}},
                        {"name": "mem", "type": "SCALAR", "scalar": {"value": MEM}},
                    ],
                })
            print("offer", offer["id"]["value"], "of", offer["agent_id"]["value"], scalars,
                  "->", [task["name"] for task in tasks], flush=True)
            if tasks:
                driver.launchTasks(offer["id"], tasks)
            else:
                driver.declineOffer(offer["id"])
        if not self.waiting:
            driver.suppressOffers()

    def statusUpdate(self, driver, update):
        name, state = update["task_id"]["value"], update["state"]
        print(name, state, update.get("message", ""), flush=True)
        self.states[name] = state
        finished = sum(state == "TASK_FINISHED" for state in self.states.values())
        if finished == 3 and self.states.get("count-4") == "TASK_RUNNING":
            print("killing count-4", flush=True)
            driver.killTask({"value": "count-4"})
        if state in ("TASK_FAILED", "TASK_LOST", "TASK_ERROR") or self.states.get("count-4") == "TASK_KILLED":
            self.over.set()

    def error(self, driver, message):
        print("error:", message, flush=True)
        self.over.set()


def main():
    logging.basicConfig(level=logging.WARNING)
    counter = Counter()
    framework = {"user": "root", "name": "counter", "hostname": ""}
    driver = MesosSchedulerDriver(counter, framework, sys.argv[1])
    driver.start()
    counter.over.wait(timeout=120)
    driver.stop()  # and with it, the framework
    driver.join()
    good = sorted(counter.states.values()) == ["TASK_FINISHED"] * 3 + ["TASK_KILLED"]
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()
