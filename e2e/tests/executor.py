"""A pymesos executor that does what its tasks and messages say, for the tests.

A task's `data` (base64 in JSON) is a text: `run` stays until it is told otherwise, `finish` ends at
once. A message `finish <task>` or `fail <task>` ends a task, `exit <code>` the executor; every message
is sent back with `echo ` before it. Each launch is told to the FIFO that the environment names in
WITNESS, so that the test counts them past Meseta's back.
"""

import os
import queue
import threading
import time
import uuid

from pymesos import Executor, MesosExecutorDriver, decode_data, encode_data


def witness(line):
    with open(os.environ["WITNESS"], "w") as fifo:
        fifo.write(line + "\n")


class Told(Executor):
    def __init__(self):
        self.over = threading.Event()
        self.updates = queue.Queue()
        threading.Thread(target=self.send, daemon=True).start()

    def update(self, driver, task_id, state, message=""):
        status = {"task_id": {"value": task_id}, "state": state, "message": message,
                  "uuid": encode_data(uuid.uuid4().bytes)}
        self.updates.put((driver, status))

    def send(self):
        """pymesos gives an update up where the agent is away; a good executor does not."""
        while True:
            driver, status = self.updates.get()
            while True:
                try:
                    driver.sendStatusUpdate(status)
                    break
                except Exception:
                    time.sleep(0.1)

    def registered(self, driver, executor_info, framework_info, agent_info):
        witness("registered " + executor_info["executor_id"]["value"])

    def launchTask(self, driver, task):
        name = task["task_id"]["value"]
        witness("launch " + name)
        self.update(driver, name, "TASK_RUNNING")
        if decode_data(task.get("data", "")) == b"finish":
            self.update(driver, name, "TASK_FINISHED", "as told")

    def killTask(self, driver, task_id):
        witness("kill " + task_id["value"])
        self.update(driver, task_id["value"], "TASK_KILLED")

    def frameworkMessage(self, driver, message):
        text = decode_data(message).decode()
        try:
            driver.sendFrameworkMessage(encode_data(("echo " + text).encode()))
        except Exception:
            pass  # best effort, by Mesos' own word
        verb, _, name = text.partition(" ")
        if verb in ("finish", "fail"):
            self.update(driver, name, "TASK_FINISHED" if verb == "finish" else "TASK_FAILED", "as told")
        if verb == "exit":
            os._exit(int(name))

    def shutdown(self, driver):
        witness("shutdown")
        self.over.set()


class Driver(MesosExecutorDriver):
    """pymesos knows no groups; their tasks are launched one by one."""

    def on_launch_group(self, event):
        tasks = event["task_group"]["tasks"]
        witness("group " + " ".join(task["task_id"]["value"] for task in tasks))
        for task in tasks:
            self.on_launch({"task": task})


def main():
    told = Told()
    driver = Driver(told)
    driver.start()
    told.over.wait()
    driver.stop()
    driver.join()


if __name__ == "__main__":
    main()
