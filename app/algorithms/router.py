from __future__ import annotations

from fastapi import APIRouter

from app.algorithms import service
from app.auth.guard import Read
from app.contracts.algorithm import AlgorithmInfo
from app.contracts.problems import ProblemCode
from app.contracts.views import Page
from app.requests.documented import problems
from app.requests.pages import Paging
from app.requests.sessions import Provided

router = APIRouter(prefix="/v1/algorithms", tags=["algorithms"], dependencies=[Read])


@router.get("", operation_id="listAlgorithms", responses=problems(ProblemCode.INVALID_PAGE_TOKEN))
async def list_algorithms(resources: Provided, paging: Paging) -> Page[AlgorithmInfo]:
    return service.list_algorithms(resources.catalogue, paging)


@router.get("/{name}", operation_id="getAlgorithm", responses=problems(ProblemCode.NOT_FOUND))
async def get_algorithm(name: str, resources: Provided) -> AlgorithmInfo:
    return service.get_algorithm(resources.catalogue, name)
